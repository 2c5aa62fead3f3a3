"""Cuts of lhotse: JSON lines (`cuts.jsonl.gz`), or supervisions with a list of recordings beside them.

The commands that a recording may name are never run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats import segments
from speech_eval.datasets.formats.rows import Row
from speech_eval.errors import BadInput


def is_cut(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("recording"), Mapping) or str(row.get("type", "")).endswith("Cut")


def is_supervision(row: Mapping[str, Any]) -> bool:
    return {"recording_id", "start", "duration"} <= row.keys()


def of_supervisions(path: Path, rows: list[Row], recordings: Sequence[Row]) -> list[Row]:
    """One cut per supervision. Raises `BadInput` naming the line of a supervision whose recording is not listed."""
    by_id = {recording.get("id"): recording for _, recording in recordings}
    cuts = []
    for number, supervision in rows:
        recording = by_id.get(supervision["recording_id"])
        if recording is None:
            raise BadInput(
                f"{path}:{number}: no list of recordings beside it has '{supervision['recording_id']}'.",
                f"Put {recordings_of(path).name} there, or save cuts: CutSet.from_manifests(…).to_file(PATH)",
            )
        channel = supervision.get("channel", 0)
        cut = {"id": supervision.get("id"), "start": supervision["start"], "duration": supervision["duration"]}
        channel = channel[0] if isinstance(channel, list) and len(channel) == 1 else channel
        cuts.append((number, {**cut, "channel": channel, "supervisions": [supervision], "recording": recording}))
    return cuts


def recordings_of(path: Path) -> Path:
    """Where the recordings of a list of supervisions are listed, by the names that lhotse gives."""
    return path.with_name(path.name.replace("supervisions", "recordings"))


def read(path: Path, rows: list[Row], files: Iterable[Path] = ()) -> Dataset:
    """The dataset of cuts: one sample per cut, with the texts of its supervisions in the order of their times. `files`
    are what the cuts come from besides `path`.

    Raises `BadInput` naming the line for cuts without a recording in one file, such as mixed or padded ones.
    """
    name = path.name.split(".")[0]
    cuts = [(number, _row(path, number, row)) for number, row in rows]
    return segments.read(path, cuts, taken_for="lhotse cuts", name=name, files=files)


def _row(path: Path, number: int, cut: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(_fields(cut))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{path}:{number}: not a cut of one recording in a file ({type(error).__name__}: {error}).",
            "Save the recordings of the cuts: cuts.save_audios(FOLDER).to_file(PATH)",
        ) from None


def _fields(cut: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    recording = cut["recording"]
    (source,) = recording["sources"]
    if source["type"] != "file":
        raise ValueError(f"its recording is a {source['type']}, not a file")
    channel = cut.get("channel", 0)
    if not isinstance(channel, int):
        raise ValueError(f"it has the channels {channel}")
    start, seconds = segments.number(cut.get("start", 0)), segments.number(cut["duration"])
    yield "id", cut["id"]
    yield "audio", source["source"]
    yield "seconds", seconds
    yield segments.SPAN, segments.Span(start, start + seconds, source["channels"].index(channel))
    said = sorted(cut.get("supervisions") or (), key=lambda supervision: supervision.get("start", 0))
    texts = [supervision["text"] for supervision in said if supervision.get("text") is not None]
    if texts:
        yield "text", " ".join(texts)
    for field in ("speaker", "language"):
        values = {supervision.get(field) for supervision in said} - {None}
        if len(values) == 1:
            yield field, values.pop()
