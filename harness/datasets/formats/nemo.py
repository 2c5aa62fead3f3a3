"""Manifests of NeMo: JSON lines with `audio_filepath`, `duration`, `text`, and `offset` where a part is meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats import segments
from speech_eval.datasets.formats.rows import Row


def is_row(row: Mapping[str, Any]) -> bool:
    return "audio_filepath" in row


def read(path: Path, rows: list[Row]) -> Dataset:
    """The dataset of a manifest. Without `offset`, the whole recording is meant, whatever its `duration`."""
    return segments.read(path, [(number, _row(row)) for number, row in rows], taken_for="a NeMo manifest")


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in row.items() if key not in ("offset", "duration")}
    if row.get("duration") is not None:
        found["seconds"] = row["duration"]
    if row.get("offset") is not None:
        start = segments.number(row["offset"])
        end = None if row.get("duration") is None else start + segments.number(row["duration"])
        found[segments.SPAN] = segments.Span(start, end)
    return found
