"""The repositories of `hub_schemas.yaml` as files for `HubServer`: true columns, types and splits, made-up rows."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

SCHEMAS: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_suffix("").with_name("hub_schemas.yaml").read_text("utf-8")
)
_AUDIO = "struct<bytes:binary,path:string>"


@cache
def sound(kind: str = "FLAC") -> bytes:
    """The bytes of a tenth of a second of a tone at 16 kHz."""
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.1 * np.sin(np.arange(1600) * 0.17), 16_000, format=kind)
    return buffer.getvalue()


def repositories() -> dict[str, dict[str, bytes]]:
    """Files by repository."""
    return {name: _files(schema) for name, schema in SCHEMAS.items()}


def _files(schema: Mapping[str, Any]) -> dict[str, bytes]:
    form = schema.get("format", "parquet")
    found = {
        path: sound("WAV") if value == "audio" else value.encode() for path, value in schema.get("files", {}).items()
    }
    card = []
    for config, about in schema.get("configs", {}).items():
        listed = []
        for split, count in about["splits"].items():
            columns = about.get("columns", schema.get("columns"))
            path = f"{'data' if config == 'default' else config}/{split}-00000-of-00001.{form}"
            found[path] = _shard(form, columns, about.get("values", {}), count)
            listed.append({"split": split, "path": f"{path.removesuffix(f'00000-of-00001.{form}')}*"})
        card.append({"config_name": config, "data_files": listed})
    found["README.md"] = f"---\n{yaml.safe_dump({'configs': card})}---\n".encode()
    return found


def _shard(form: str, columns: Mapping[str, str], values: Mapping[str, Sequence[Any]], count: int) -> bytes:
    import pyarrow
    import pyarrow.parquet

    arrays = []
    for name, kind in columns.items():
        given = [_value(name, kind, values.get(name), number) for number in range(count)]
        arrays.append(pyarrow.array(given, type=_type(kind)))
    table = pyarrow.table(dict(zip(columns, arrays, strict=True)))
    buffer = io.BytesIO()
    if form == "parquet":
        pyarrow.parquet.write_table(table, buffer, row_group_size=100)
    else:
        with pyarrow.ipc.new_stream(buffer, table.schema) as writer:
            writer.write_table(table)
    return buffer.getvalue()


def _value(name: str, kind: str, values: Sequence[Any] | None, number: int) -> Any:
    if values is not None:
        return values[number % len(values)]
    made = {"audio": {"bytes": sound(), "path": None}, "int64": number, "float64": 0.1, "list<string>": [name]}
    return made.get(kind, f"{name} {number}")


def _type(kind: str) -> Any:
    """The Arrow type of `string`, `list<…>`, `struct<name:type,…>`, …"""
    import pyarrow

    if kind in ("audio", "json"):
        return _type(_AUDIO if kind == "audio" else "string")
    if kind.startswith("list<"):
        return pyarrow.list_(_type(kind[5:-1]))
    if kind.startswith("struct<"):
        fields = [field.split(":") for field in kind[7:-1].split(",")]
        return pyarrow.struct([(name, _type(inner)) for name, inner in fields])
    return pyarrow.type_for_alias(kind)
