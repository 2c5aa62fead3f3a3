"""Small codec runs to listen to: real recordings of a second or less, through codecs of different quality."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from support.metric_items import announcer

from speech_eval.adapters import spec as modelspec
from speech_eval.engine import session
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.settings import Settings

TASK = "codec-reconstruction"
PROMPTS = ("digits/7", "digits/4", "digits/9", "letters/k", "digits/2", "digits/5")
METRIC = "si-sdr[torchmetrics-definition]"


def write_recordings(folder: Path, samples: int = 4) -> Path:
    """A dataset manifest in `folder` with so many short recordings."""
    lines = []
    for index, name in enumerate(PROMPTS[:samples]):
        audio = announcer(name)
        soundfile.write(folder / f"s{index}.wav", np.pad(audio.samples, 800), audio.rate)
        about = {"text": name.split("/")[-1], "language": "en", "metadata": {"half": "ab"[2 * index // samples]}}
        lines.append(json.dumps({"id": f"s{index}", "audio": f"s{index}.wav", **about}))
    (folder / "set.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "set.jsonl"


def codec_runs(folder: Path, models: Sequence[str] = ("oracle", "noisy"), samples: int = 4) -> list[RunDirectory]:
    """A run of each model on the same recordings."""
    data = write_recordings(folder, samples)
    runs = []
    for index, model in enumerate(models):
        path = folder / f"run-{index}"
        session.run(modelspec.parse(model), [TASK], path, Settings(data=str(data), metrics=(METRIC,)))
        runs.append(RunDirectory(path))
    return runs
