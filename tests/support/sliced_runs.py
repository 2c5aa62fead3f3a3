"""Runs on texts of several speakers with known errors: a recognizer whose answers are given, word by word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from support.data_files import lines, tone

from speech_eval.engine import session
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.settings import Settings

WER = "wer[whisper-normalizer@20250625]"
WORDS = (
    *("river", "stone", "garden", "winter", "paper", "silver"),
    *("market", "window", "bridge", "summer", "candle"),
)


def rows(
    speakers: int = 12, each: int = 8, metadata: Callable[[int, int], dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Samples of `speakers`, half of them of accent `north`; `metadata` of speaker and sample are added."""
    rng = np.random.default_rng(7)
    found = []
    for speaker in range(speakers):
        for index in range(each):
            text = " ".join(rng.choice(WORDS, int(rng.integers(4, 13))))
            more = metadata(speaker, index) if metadata else {}
            given = {"accent": ("north", "south")[speaker % 2], "snr": float(5 * (index % 8)), **more}
            key = f"s{speaker:02d}-{index:02d}"
            found.append(
                {
                    "id": key,
                    "text": text,
                    "speaker": f"p{speaker}",
                    "language": "en",
                    "audio": "tone.wav",
                    "metadata": given,
                }
            )
    return found


def heard(row: Mapping[str, Any], rate: float, seed: int = 0) -> str:
    """The text of a sample with each word wrong with the probability `rate`."""
    rng = np.random.default_rng([seed, int(row["id"][1:3]), int(row["id"][4:])])
    return " ".join("wrong" if rng.random() < rate else word for word in row["text"].split())


def run(
    folder: Path, data: list[dict[str, Any]], answer: Callable[[dict[str, Any]], str], *, name: str = "run"
) -> RunDirectory:
    """A finished run of `asr` on `data`, in which the recognizer said `answer` of each sample."""
    tone(folder / "tone.wav")
    told = lines(folder / f"{name}-outputs" / "outputs.jsonl", *({"id": r["id"], "text": answer(r)} for r in data))
    manifest = lines(folder / f"{name}.jsonl", *data)
    session.run(f"outputs:{told.parent}", ["asr"], folder / name, Settings(data=str(manifest), workers=1))
    return RunDirectory(folder / name)
