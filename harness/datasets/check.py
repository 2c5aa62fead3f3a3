"""Check the recordings of a dataset on this machine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from speech_eval.audio import load
from speech_eval.cache import file_sha256
from speech_eval.datasets.dataset import Dataset
from speech_eval.errors import SpeechEvalError

SILENT_PEAK = 1e-4  # of full scale
LOWEST_RATE = 8000  # Hz


def check(dataset: Dataset) -> list[str]:
    """Problems, one line each; empty where there are none. Reads every file.

    Finds files that are missing, differ from their sha256, cannot be read, have two channels, hold NaN, are silent
    (peak below `SILENT_PEAK`) or have a rate below `LOWEST_RATE`; samples with neither text nor audio; and samples
    that repeat the text and audio of another.
    """
    problems = [f"{s.id}: neither text nor audio" for s in dataset.samples if s.text is None and s.audio is None]
    for relative, sha256 in dataset.audio_digests():
        try:
            problem = _file_problem(dataset.located(relative), sha256)
        except SpeechEvalError as error:
            problem = error.problem
        if problem:
            problems.append(f"{relative}: {problem}")
    pairs = Counter((sample.text, sample.audio) for sample in dataset.samples if sample.audio)
    return problems + [
        f"{audio}: {count} samples with this audio and text" for (_, audio), count in pairs.items() if count > 1
    ]


def _file_problem(path: Path, sha256: str | None) -> str | None:
    if not path.is_file():
        return "the file is missing"
    if sha256 is not None and file_sha256(path) != sha256:
        return "the file differs from the manifest's sha256"
    audio = load(path)
    peak = float(abs(audio.samples).max())
    if peak < SILENT_PEAK:
        return f"the audio is silent (peak {peak:.1e})"
    return f"a rate of {audio.rate} Hz is below {LOWEST_RATE} Hz" if audio.rate < LOWEST_RATE else None
