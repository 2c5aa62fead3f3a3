"""The AudioFolder convention of the library `datasets`: rows name their recording in `file_name`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speech_eval.records import Sample


def sample_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the fields of a sample: the id follows from the file name, and unknown columns become metadata."""
    renamed = {"file_name": "audio", "prompt_file_name": "prompt_audio"}
    row = {renamed.get(key, key): value for key, value in row.items()}
    own = {key: value for key, value in row.items() if key in Sample.model_fields and key != "metadata"}
    other = {key: value for key, value in row.items() if key not in own}
    own.setdefault("id", str(Path(str(row["audio"])).with_suffix("")).replace("/", "-"))
    return own | {"metadata": other}
