"""What every training run writes down: rows of a log, curves, and why it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speech_eval.cache import write_atomically
from speech_eval.errors import BadInput, SpeechEvalError, require


class TrainingStopped(SpeechEvalError):
    """Training that cannot go on: losses that are not numbers."""

    exit_code = 1


def append_row(file: Path, row: dict[str, Any]) -> None:
    """Add a line, in place of lines at or after its step that an interrupted run left."""
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    kept = [line for line in lines if json.loads(line)["step"] < row["step"]]
    write_atomically(file, "".join(f"{line}\n" for line in [*kept, json.dumps(row)]).encode())


def tensorboard(output: Path) -> Any:
    """A writer of curves into `output/tensorboard`."""
    return require("tensorboardX", "tensorboard").SummaryWriter(str(output / "tensorboard"))


def check_identity(output: Path, was: Mapping[str, Any], mine: Mapping[str, Any], done: str = "trained") -> None:
    """Raise `BadInput` naming what differs between the run in `output` and its continuation; knobs that are not among
    `mine` may."""
    for key, value in was.items():
        before = {k: v for k, v in value.items() if k in mine[key]} if isinstance(value, dict) else value
        if before != mine[key]:
            now = mine[key]
            changed = differences(before, now) if isinstance(before, dict) else f"{before} is now {now}"
            raise BadInput(
                f"{output} was {done} with another {key}: {changed}.", "Resume with what it was started with."
            )


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """The keys of `a` that are otherwise in `b`, in words."""
    return "; ".join(f"{key} {a.get(key)!r} is now {b.get(key)!r}" for key in a if a.get(key) != b.get(key))
