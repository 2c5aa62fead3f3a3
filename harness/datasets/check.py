"""Check the recordings of a dataset on this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from speech_eval.audio import load
from speech_eval.cache import file_sha256_once
from speech_eval.datasets import languages
from speech_eval.datasets.dataset import AUDIO_SUFFIXES, Dataset
from speech_eval.errors import SpeechEvalError

SILENT_PEAK = 1e-4  # of full scale
LOWEST_RATE = 8000  # Hz
SHOWN = 3  # files that a line names


@dataclass(frozen=True)
class Finding:
    """What is wrong with a recording. A silent one is sound where nothing is said, a slow one has a rate below
    `LOWEST_RATE`."""

    kind: Literal["unusable", "silent", "slow"]
    text: str


def check(dataset: Dataset) -> list[str]:
    """Problems, one line each; empty where there are none. Reads every file.

    Finds files that are missing, differ from their sha256, cannot be read, hold NaN, are silent (peak below
    `SILENT_PEAK`) though words are said, or have a rate below `LOWEST_RATE`; samples with neither text nor audio,
    samples without text where others have one, and samples with a text in no known language; and samples that repeat
    the text and audio of another.
    """
    return list(_problems(dataset))


def remarks(dataset: Dataset) -> list[str]:
    """What the data was taken for, and recordings in its folder that no sample names."""
    unnamed = _unnamed(dataset)
    found = [f"{len(unnamed)} audio files in the folder that no sample names: {_some(unnamed)}"] if unnamed else []
    return [dataset.note, *found] if dataset.note else found


def inspect(dataset: Dataset, relative: str, sha256: str | None) -> Finding | None:
    """What is wrong with a recording of a dataset, whose sha256 may be stated. None where it is sound."""
    try:
        path = dataset.located(relative)
        if not path.is_file():
            return Finding("unusable", f"{relative}: the file is missing")
        if sha256 is not None and file_sha256_once(path) != sha256:
            return Finding("unusable", f"{relative}: the file differs from the sha256 that its sample states")
        audio = load(path)
    except SpeechEvalError as error:
        return Finding("unusable", f"{relative}: {error.problem.rstrip('.')}")
    peak = float(abs(audio.samples).max())
    if peak < SILENT_PEAK:
        return Finding("silent", f"{relative}: the audio is silent (peak {peak:.1e})")
    if audio.rate < LOWEST_RATE:
        return Finding("slow", f"{relative}: a rate of {audio.rate} Hz is below {LOWEST_RATE} Hz")
    return None


def _problems(dataset: Dataset) -> Iterator[str]:
    samples = dataset.samples
    if unknown := languages.problem(dataset):
        yield unknown
    yield from (f"{s.id}: neither text nor audio" for s in samples if s.text is None and s.audio is None)
    without_text = [s.id for s in samples if s.text is None and s.audio is not None]
    if 0 < len(without_text) < len(samples):
        yield f"{len(without_text)} samples without text: {_some(without_text)}"
    silence = {sample.audio for sample in samples if sample.text == ""}
    for relative, sha256 in dataset.audio_digests():
        finding = inspect(dataset, relative, sha256)
        if finding and not (finding.kind == "silent" and relative in silence):
            yield finding.text
    pairs = Counter((sample.text, sample.audio) for sample in samples if sample.audio)
    yield from (
        f"{audio}: {count} samples with this audio and text" for (_, audio), count in pairs.items() if count > 1
    )


def _unnamed(dataset: Dataset) -> list[str]:
    """Recordings in the folder of one's own data that no sample names."""
    if dataset.root is None or dataset.info.assets:
        return []
    named = {path for sample in dataset.samples for path, _ in sample.metadata.get("parts") or ()}
    named |= dataset.audio_files().keys()
    files = (path for path in dataset.root.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
    return sorted({path.relative_to(dataset.root).as_posix() for path in files} - named)


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
