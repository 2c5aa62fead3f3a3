"""`--config run.yaml`: the options of a command as keys of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from speech_eval.errors import clipped, nearest


def read(context: typer.Context, file: Path | None) -> Path | None:
    """Make the keys of a YAML file the defaults of the command's options; the command line wins.

    A key is the long option without dashes in front, with `-` or `_` inside: `batch-size: 8`. A list stands for a
    repeated option or for a comma-separated text. Paths are relative to the current folder, as on the command line.
    """
    if file is None:
        return None
    options = {name: option for option in context.command.params for name in _keys(option)}
    given: dict[str, Any] = {}
    for key, value in _mapping(file).items():
        option = options.get(str(key).replace("_", "-"))
        if option is None:
            name = str(context.command.name)
            hint = nearest(str(key).replace("_", "-"), options, f"speech-eval {name} --help")
            raise typer.BadParameter(f"{file}: no option '{clipped(key)}' of '{name}'. {hint}")
        given[str(option.name)] = _value(option, value)
    context.default_map = {**(context.default_map or {}), **given}
    return file


def _keys(option: Any) -> list[str]:
    return [name[2:] for name in option.opts if name.startswith("--") and name not in ("--help", "--config")]


def _mapping(file: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise typer.BadParameter(f"{file}: cannot be read as YAML ({error}).") from error
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{file}: not a mapping. Write one 'option: value' per line.")
    return found


def _value(option: Any, value: Any) -> Any:
    if isinstance(value, dict):
        raise typer.BadParameter(f"'{option.name}' is a mapping, not a value. Write {option.name}: VALUE.")
    if getattr(option, "multiple", False):
        return value if isinstance(value, list) else [value]
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, bool) or value is None else str(value)


Config = Annotated[
    Path | None,
    typer.Option(is_eager=True, callback=read, help="YAML file with options as keys; the command line wins."),
]
