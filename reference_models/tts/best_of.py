"""How far a synthesizer gets when the best of N tries is kept: N against errors and voice, as numbers and a picture.

One ear chooses, another judges. All N tries are made once; what the best of n < N of them comes to is then the exact
mean over every way to draw n (`verifiers.best_of_curve`).
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
from speech_eval.reference_models.speech_lm.rl.verifiers import By, Listener, best_of_curve, worth

CHOOSES = Listener(recognizer="whisper-tiny.en", speaker="sim[cam++@zh-en-common]")
JUDGES = Listener(recognizer="whisper-base", speaker="sim[ge2e@resemblyzer]")
_COLORS = {"cer": "#c2410c", "sim": "#1d4ed8"}


@dataclass(frozen=True)
class BestOf:
    """`points`: a row an n, with what the judging ear heard: `cer` (1 where nothing was heard) and, with voice prompts,
    `sim` (0 there)."""

    model: str
    by: str
    tries: int
    texts: int
    points: list[dict[str, float]]


def best_of(
    spec: str,
    data: str,
    *,
    tries: int = 8,
    by: By = "wer",
    limit: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> BestOf:
    """Make `tries` of every text of a dataset and draw the curve. Raises `BadInput` for a model that is no synthesizer,
    and where the choice is by voice and a text has no voice prompt."""
    model = modelspec.resolve(spec).build()
    if not isinstance(model, SpeechSynthesizer):
        raise BadInput(f"{spec} does not speak.", "Name a synthesizer.")
    dataset = datasets.load_dataset(data)
    samples = dataset.samples[:limit]
    voices = all(sample.prompt_audio is not None for sample in samples)
    if by != "wer" and not voices:
        raise BadInput(f"{data} has texts without a voice prompt.", "Choose by wer.")
    chooser = Listener(CHOOSES.recognizer if by != "sim" else None, CHOOSES.speaker if by != "wer" else None).load()
    judge = Listener(JUDGES.recognizer, JUDGES.speaker if voices else None).load()
    chosen_by, errors, likeness = (np.zeros((len(samples), tries)) for _ in range(3))
    for row, sample in enumerate(samples):
        prompt = _prompt(dataset, sample)
        text = str(sample.text)
        asked = [
            synthesis_request(
                sample,
                sample_seed(seed, "best-of", f"{sample.id}/{column}"),
                lambda path: load_audio(dataset.audio_path(path)),
            )
            for column in range(tries)
        ]
        size = model.batch_size
        sounds = [sound for at in range(0, tries, size) for sound in model.synthesize(asked[at : at + size])]
        for column, sound in enumerate(sounds):
            chosen_by[row, column] = worth(chooser.judge(text, sound, prompt, sample.language), by)
            cer = character_error_rate(text, judge.transcript(sound, sample.language), sample.language)
            errors[row, column] = 1.0 if cer is None else cer
            if prompt is not None and voices:
                likeness[row, column] = judge.likeness(sound, prompt).value
        progress("best of", row + 1, len(samples))
    sizes = [n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n < tries] + [tries]
    curves = {"cer": best_of_curve(chosen_by, errors, sizes)}
    curves |= {"sim": best_of_curve(chosen_by, likeness, sizes)} if voices else {}
    points = [{"n": float(n), **{name: round(curve[n], 6) for name, curve in curves.items()}} for n in sizes]
    return BestOf(modelspec.redact(spec), by, tries, len(samples), points)


def picture(found: BestOf, width: int = 560, height: int = 300) -> str:
    """The curves as SVG, n on a logarithmic axis, each curve on a scale of its own that starts at 0."""
    names = [name for name in ("cer", "sim") if name in found.points[0]]
    top = max(1.0, np.log2(found.points[-1]["n"]))
    marks, left, low, high = [], 60, height - 40, 40

    def x(n: float) -> float:
        return left + (width - 2 * left) * float(np.log2(n)) / top

    for side, name in enumerate(names):
        values = [point[name] for point in found.points]
        places = [
            (x(point["n"]), low - (low - high) * value / max(*values, 1e-9))
            for point, value in zip(found.points, values, strict=True)
        ]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        color, edge = _COLORS[name], "start" if side == 0 else "end"
        at = 6 if side == 0 else width - 6
        marks.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        marks += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{color}"/>' for a, b in places]
        apart = -8 if side == 0 else 18  # above one curve, below the other
        marks += [
            _text(a, b + apart, f"{value:.3f}", "middle", color) for value, (a, b) in zip(values, places, strict=True)
        ]
        marks.append(_text(at, 20, {"cer": "CER", "sim": "speaker similarity"}[name], edge, color))
    marks.append(f'<line x1="{left}" x2="{width - left}" y1="{low}" y2="{low}" stroke="#999"/>')
    marks += [_text(x(point["n"]), height - 16, f"{point['n']:.0f}", "middle") for point in found.points]
    marks.append(_text(width / 2, 20, f"best of n by {found.by}, {found.texts} texts", "middle"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="13"><rect width="100%" height="100%" fill="white"/>{"".join(marks)}</svg>\n'
    )


def _text(x: float, y: float, words: str, anchor: str, color: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{words}</text>'


def _prompt(dataset: datasets.Dataset, sample: Sample) -> Audio | None:
    return None if sample.prompt_audio is None else load_audio(dataset.audio_path(sample.prompt_audio))


def as_rows(found: BestOf) -> Sequence[dict[str, Any]]:
    """The points as a table shows them."""
    return [
        {"n": int(point["n"]), **{name: f"{value:.4f}" for name, value in point.items() if name != "n"}}
        for point in found.points
    ]
