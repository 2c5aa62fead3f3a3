"""What keeping the best of N candidates gives: errors and voice similarity against N, as numbers and a picture.

One verifier chooses, another judges. All N candidates are generated once; the result of the best of n < N of them is
then the exact mean over every way to draw n (`verifiers.best_of_curve`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from speech_eval import datasets
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import SpeechSynthesizer
from speech_eval.audio import Audio
from speech_eval.audio import load as load_audio
from speech_eval.engine.generate.requests import synthesis_request
from speech_eval.engine.generate.strategy import sample_seed
from speech_eval.errors import BadInput, SpeechEvalError
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
    voice prompts, `sim` (0 then). `left_out` says by id which texts are not among the `texts`, and why."""

    model: str
    by: str
    candidates: int
    texts: int
    points: list[dict[str, float]]
    left_out: dict[str, str] = field(default_factory=dict)


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
    """Generate `candidates` for every text of a dataset that can be measured and spoken, and compute the curve.

    Raises `BadInput` for a model that is not a synthesizer, for a choice by voice if a text has no voice prompt, and if
    all texts are left out.
    """
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
    measured: list[_Candidates] = []
    left_out: dict[str, str] = {}
    for number, sample in enumerate(samples, 1):
        text, language = sample.text or "", sample.language
        try:
            if problem := chooser.problem(text, language) or judge.problem(text, language):
                raise BadInput(problem)
            measured.append(_candidates(model, dataset, sample, candidates, seed, chooser, judge, by))
        except SpeechEvalError as error:
            left_out[sample.id] = error.problem.rstrip(".")
        progress("best of", number, len(samples))
    if not measured:
        name, problem = next(iter(left_out.items()))
        raise BadInput(f"{data}: none of {len(samples)} texts can be used, such as {name}: {problem}.", "Use others.")
    sizes = [n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n < candidates] + [candidates]
    chosen_by, errors, voice = (np.array(column) for column in zip(*measured, strict=True))
    curves = {"cer": best_of_curve(chosen_by, errors, sizes)}
    curves |= {"sim": best_of_curve(chosen_by, voice, sizes)} if voices else {}
    points = [{"n": float(n), **{name: round(curve[n], 6) for name, curve in curves.items()}} for n in sizes]
    return BestOf(modelspec.redact(spec), by, candidates, len(measured), points, left_out)


class _Candidates(NamedTuple):
    """Of each candidate of a text: what it is chosen by, its errors, and its similarity to the voice prompt."""

    chosen_by: list[float]
    errors: list[float]
    voice: list[float]


def _candidates(
    model: SpeechSynthesizer,
    dataset: datasets.Dataset,
    sample: Sample,
    count: int,
    seed: int,
    chooser: Verifier,
    judge: Verifier,
    by: By,
) -> _Candidates:
    prompt, text = _prompt(dataset, sample), str(sample.text)
    asked = [
        synthesis_request(
            sample,
            sample_seed(seed, "best-of", f"{sample.id}/{column}"),
            lambda path: load_audio(dataset.audio_path(path)),
        )
        for column in range(count)
    ]
    size, found = model.batch_size, _Candidates([], [], [])
    for audio in [audio for at in range(0, count, size) for audio in model.synthesize(asked[at : at + size])]:
        found.chosen_by.append(total_reward(chooser.rewards(text, audio, prompt, sample.language), by))
        cer = character_error_rate(text, judge.transcript(audio, sample.language), sample.language)
        found.errors.append(1.0 if cer is None else cer)
        measures = prompt is not None and judge.config.speaker is not None
        found.voice.append(judge.similarity(audio, prompt).value if measures and prompt else 0.0)
    return found


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
