"""Measure generated speech with the harness's own recognizers and metrics, and choose the best of several candidates.

A choice is only as good as the verifier: judge it with other models than those that chose (`best_of_curve`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from speech_eval.adapters.base import ScoresText
from speech_eval.adapters.options import choice
from speech_eval.audio import Audio
from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem, Unscorable
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import Output, Sample
from speech_eval.reference_models.speech_lm.recognition import Recognizer
from speech_eval.reference_models.speech_lm.rl import rewards
from speech_eval.reference_models.speech_lm.rl.config import VerifierConfig
from speech_eval.reference_models.speech_lm.rl.rewards import INVALID, Reward

By = Literal["wer", "sim", "both"]
CHOICES: tuple[By, ...] = get_args(By)
WEIGHTS: dict[By, dict[str, float]] = {"wer": {"cer": 1.0}, "sim": {"sim": 1.0}, "both": {"cer": 0.5, "sim": 0.5}}


class Verifier:
    """The loaded models of a `VerifierConfig`. Raises `BadInput` for models that cannot do what they are named for."""

    def __init__(self, config: VerifierConfig) -> None:
        self.config = config
        self._recognizer: Any = None
        if config.recognizer is not None:
            self._recognizer = Recognizer(config.recognizer, "verifier.recognizer")
        if config.likelihood and not (self._recognizer and isinstance(self._recognizer.model, ScoresText)):
            raise BadInput(f"{config.recognizer} tells no likelihood of a text.", "Give a Whisper of transformers.")
        self._speaker: Any = None if config.speaker is None else METRICS.get(config.speaker)()
        self._opinion: Any = None if config.opinion is None else METRICS.get(config.opinion)()

    def transcript(self, audio: Audio, language: str = "en") -> str:
        """What the recognizer understands; empty for empty audio."""
        return str(self._recognizer.transcript(audio, language))

    def problem(self, text: str, language: str) -> str:
        """Why speech of a text in `language` cannot be measured; empty if it can be. Asks the recognizer."""
        if self._recognizer is None:
            return ""
        if not rewards.has_letters(text, language):
            return f"nothing of '{text[:40]}' is left to recognize"
        return str(self._recognizer.problem(language))

    def similarity(self, audio: Audio, prompt: Audio) -> Reward:
        """How similar the voice is to the prompt's."""
        similarity = _score(self._speaker, audio, prompt, "similarity") if len(audio.samples) else None
        return INVALID if similarity is None else rewards.speaker(similarity)

    def rewards(self, text: str, audio: Audio, prompt: Audio | None = None, language: str = "en") -> dict[str, Reward]:
        """The rewards of `audio` as an answer to `text`: `duration`, and those of the configured models: `cer`, `nll`,
        `sim` (to the `prompt`) and `mos`. What cannot be measured is invalid."""
        measured = {"duration": rewards.duration(text, audio.seconds, language)}
        empty = len(audio.samples) == 0
        if self._recognizer is not None:
            measured["cer"] = rewards.intelligibility(text, self.transcript(audio, language), language)
        if self.config.likelihood:
            model, request = self._recognizer.model, self._recognizer.request(audio, language)
            too_long = empty or audio.seconds > model.window_seconds
            measured["nll"] = INVALID if too_long else rewards.likelihood(model.nll(request, text))
        if self._speaker is not None and prompt is not None:
            measured["sim"] = self.similarity(audio, prompt)
        if self._opinion is not None:
            (part,) = self._opinion.summaries[0].parts
            mos = None if empty else _score(self._opinion, audio, prompt, part)
            measured["mos"] = INVALID if mos is None else rewards.opinion(mos)
        return measured


def _score(metric: Metric, audio: Audio, prompt: Audio | None, part: str) -> float | None:
    """One part of a metric of audio; None if it has no value."""
    item = ScoringItem(
        sample=Sample(id="candidate"),
        output=Output(id="candidate", task="best-of", status="ok", seed=0),
        load_audio=lambda rate: audio if rate is None else audio.resampled(rate),
        load_prompt=None if prompt is None else lambda rate: prompt if rate is None else prompt.resampled(rate),
    )
    try:
        return metric.score(item).parts[part]
    except Unscorable:
        return None


def choice_of(name: str, option: str) -> By:
    """`name` as a way to choose; raises `BadInput` naming the `option` otherwise."""
    return cast(By, choice(option, name, CHOICES))


def total_reward(measured: Mapping[str, Reward], by: By) -> float:
    """What a candidate is chosen by: its words, its voice, or the harmonic mean of both; 0 if not measured."""
    return rewards.composite(measured, WEIGHTS[by], "harmonic").value


def best(candidates: Sequence[Mapping[str, Reward]], by: By) -> int:
    """The index of the best candidate, the first of equals."""
    return int(np.argmax([total_reward(measured, by) for measured in candidates]))


def best_of_curve(
    chosen_by: NDArray[np.float64], judged: NDArray[np.float64], sizes: Sequence[int]
) -> dict[int, float]:
    """What the best of n gives, for each n of `sizes`: the mean of `judged` [texts, N] over the candidate with the
    greatest `chosen_by` [texts, N], expected over all ways to draw n of the N candidates. The first of equals wins."""
    total = chosen_by.shape[1]
    if not sizes or min(sizes) < 1 or max(sizes) > total:
        raise BadInput(f"n of {list(sizes)} cannot be drawn from {total} candidates.", "Use n from 1 to N.")
    order = np.argsort(-chosen_by, axis=1, kind="stable")
    ranked = np.take_along_axis(judged, order, axis=1)  # best first
    curve = {}
    for n in sizes:
        # The candidate of rank r is the best of a draw that leaves out the r before it.
        odds = np.array([comb(total - 1 - rank, n - 1) for rank in range(total)], dtype=np.float64) / comb(total, n)
        curve[n] = float((ranked @ odds).mean())
    return curve
