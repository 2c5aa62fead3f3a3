"""What keeping the best of N candidates gives: errors and voice similarity against N, as numbers and a picture.

One verifier chooses, another judges. All N candidates are generated once; the result of the best of n < N of them is
then the exact mean over every way to draw n (`verifiers.best_of_curve`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speech_eval import datasets
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import SpeechSynthesizer
from speech_eval.audio import Audio
from speech_eval.audio import load as load_audio
from speech_eval.engine.generate.requests import synthesis_request
from speech_eval.engine.generate.strategy import sample_seed
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, silent
from speech_eval.records import Sample
from speech_eval.reference_models.speech_lm.rl.rewards import character_error_rate
from speech_eval.reference_models.speech_lm.rl.verifiers import (
    By,
    Verifier,
    VerifierConfig,
    best_of_curve,
    total_reward,
)
from speech_eval.reference_models.training.charts import Chart, figure

CHOOSES = VerifierConfig(recognizer="whisper-tiny.en", speaker="sim[cam++@zh-en-common]")
JUDGES = VerifierConfig(recognizer="whisper-base", speaker="sim[ge2e@resemblyzer]")


@dataclass(frozen=True)
class BestOf:
    """`points`: one row per n with what the judging verifier measured: `cer` (1 if nothing was recognized) and, with
    voice prompts, `sim` (0 then)."""

    model: str
    by: str
    candidates: int
    texts: int
    points: list[dict[str, float]]


def best_of(
    spec: str,
    data: str,
    *,
    candidates: int = 8,
    by: By = "wer",
    limit: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> BestOf:
    """Generate `candidates` for every text of a dataset and compute the curve. Raises `BadInput` for a model that is
    not a synthesizer, and for a choice by voice if a text has no voice prompt."""
    model = modelspec.resolve(spec).build()
    if not isinstance(model, SpeechSynthesizer):
        raise BadInput(f"{spec} is not a synthesizer.", "See: speech-eval list models")
    dataset = datasets.load_dataset(data)
    samples = dataset.samples[:limit]
    voices = all(sample.prompt_audio is not None for sample in samples)
    if by != "wer" and not voices:
        raise BadInput(f"{data} has texts without a voice prompt.", "Use --by wer.")
    unused = {"sim": {"recognizer": None}, "wer": {"speaker": None}, "both": {}}[by]
    chooser = Verifier(CHOOSES.model_copy(update=unused))
    judge = Verifier(JUDGES if voices else JUDGES.model_copy(update={"speaker": None}))
    chosen_by, errors, voice = (np.zeros((len(samples), candidates)) for _ in range(3))
    for row, sample in enumerate(samples):
        prompt = _prompt(dataset, sample)
        text = str(sample.text)
        asked = [
            synthesis_request(
                sample,
                sample_seed(seed, "best-of", f"{sample.id}/{column}"),
                lambda path: load_audio(dataset.audio_path(path)),
            )
            for column in range(candidates)
        ]
        size = model.batch_size
        audios = [audio for at in range(0, candidates, size) for audio in model.synthesize(asked[at : at + size])]
        for column, audio in enumerate(audios):
            chosen_by[row, column] = total_reward(chooser.rewards(text, audio, prompt, sample.language), by)
            cer = character_error_rate(text, judge.transcript(audio, sample.language), sample.language)
            errors[row, column] = 1.0 if cer is None else cer
            if prompt is not None and voices:
                voice[row, column] = judge.similarity(audio, prompt).value
        progress("best of", row + 1, len(samples))
    sizes = [n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n < candidates] + [candidates]
    curves = {"cer": best_of_curve(chosen_by, errors, sizes)}
    curves |= {"sim": best_of_curve(chosen_by, voice, sizes)} if voices else {}
    points = [{"n": float(n), **{name: round(curve[n], 6) for name, curve in curves.items()}} for n in sizes]
    return BestOf(modelspec.redact(spec), by, candidates, len(samples), points)


def picture(found: BestOf) -> str:
    """The curves as SVG: one chart per number, n on a logarithmic axis."""
    titles = {"cer": "character error rate", "sim": "speaker similarity"}
    charts = [
        Chart(
            f"{titles[name]}, best of n by {found.by}, {found.texts} texts",
            {name: [(point["n"], point[name]) for point in found.points]},
            x_label="n",
            x_log2=True,
            y_zero=True,
            labels=True,
        )
        for name in titles
        if name in found.points[0]
    ]
    return figure(charts)


def _prompt(dataset: datasets.Dataset, sample: Sample) -> Audio | None:
    return None if sample.prompt_audio is None else load_audio(dataset.audio_path(sample.prompt_audio))


def as_rows(found: BestOf) -> Sequence[dict[str, Any]]:
    """The points as rows of a table."""
    return [
        {"n": int(point["n"]), **{name: f"{value:.4f}" for name, value in point.items() if name != "n"}}
        for point in found.points
    ]
