"""What a training run records: its log, why it stopped, and whether a resumed run continues the same one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speech_eval.cache import write_atomically
from speech_eval.errors import BadInput, SpeechEvalError, require
from speech_eval.text.files import parse_json

LOG = "log.jsonl"


@dataclass
class RunLog:
    """The history of a run. It is saved with the state and enters the card; a stack adds its own fields."""

    step: int = 0
    seconds: float = 0.0
    bad_steps: list[int] = field(default_factory=list)


class TrainingStopped(SpeechEvalError):
    """Training that cannot continue because losses or gradients are not finite."""

    exit_code = 1


def append_row(file: Path, row: dict[str, Any]) -> None:
    """Append a row, and drop rows at or after its step that an interrupted run left."""
    kept = [line for line, stored in zip(_lines(file), read_rows(file), strict=True) if stored["step"] < row["step"]]
    write_atomically(file, "".join(f"{line}\n" for line in [*kept, json.dumps(row)]).encode())


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a log; none if there is no log yet."""
    return [_row(file, number, line) for number, line in enumerate(_lines(file), 1)]


def _row(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = parse_json(line)
        if not (isinstance(row, dict) and isinstance(row.get("step"), int)):
            raise ValueError("no row with a step")
    except ValueError as error:
        raise BadInput(f"{file}, line {number}: {error}.", "Remove the line, or train in another --output.") from error
    return row


def _lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines() if file.is_file() else []


def tensorboard(output: Path) -> Any:
    """A TensorBoard writer into `output/tensorboard`."""
    return require("tensorboardX", "tensorboard").SummaryWriter(str(output / "tensorboard"))


def check_identity(output: Path, was: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Raise `BadInput` naming what differs between the run in `output` and its continuation. Keys that are not in
    `mine` may differ."""
    for key, value in was.items():
        before = {k: v for k, v in value.items() if k in mine[key]} if isinstance(value, dict) else value
        if before != mine[key]:
            now = mine[key]
            changed = differences(before, now) if isinstance(before, dict) else f"{before} is now {now}"
            raise BadInput(
                f"{output} was trained with another {key}: {changed}.", "Resume with the values it was started with."
            )


def differences(was: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> str:
    """What differs between two mappings, by dotted key; empty where nothing does."""
    found = []
    for key in dict.fromkeys([*was, *now]):
        a, b = was.get(key), now.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found.append(differences(a, b, f"{prefix}{key}."))
        elif a != b:
            found.append(f"{prefix}{key} {_short(a)} is now {_short(b)}")
    return "; ".join(filter(None, found))


def _short(value: Any) -> str:
    return f"{value[:12]}…" if isinstance(value, str) and len(value) == 64 else repr(value)
