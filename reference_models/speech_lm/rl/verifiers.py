"""Listen to what was said, with the harness's own recognizers and metrics, and choose the best of several tries.

The choice is only as good as the ear: judge it with other models than chose (`best_of_curve`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import ScoresText, SpeechRecognizer, TranscriptionRequest
from speech_eval.audio import Audio
from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem, Unscorable
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import Output, Sample
from speech_eval.reference_models.speech_lm.rl import rewards
from speech_eval.reference_models.speech_lm.rl.rewards import INVALID, Reward

By = Literal["wer", "sim", "both"]
WEIGHTS: dict[str, dict[str, float]] = {"wer": {"cer": 1.0}, "sim": {"sim": 1.0}, "both": {"cer": 0.5, "sim": 0.5}}


@dataclass(frozen=True)
class Listener:
    """Which models listen: a recognizer by model spec, metrics of speaker similarity and of predicted opinion by id.
    `likelihood` also asks the recognizer, a Whisper, how likely the text is. What is None is not listened to."""

    recognizer: str | None = "whisper-tiny.en"
    speaker: str | None = None
    opinion: str | None = None
    likelihood: bool = False

    def load(self) -> Ear:
        """The models, loaded."""
        return Ear(self)


class Ear:
    """The loaded models of a `Listener`."""

    def __init__(self, listener: Listener) -> None:
        self._recognizer: Any = None
        if listener.recognizer is not None:
            self._recognizer = modelspec.resolve(listener.recognizer).build()
            if not isinstance(self._recognizer, SpeechRecognizer):
                raise BadInput(
                    f"{listener.recognizer} recognizes no speech.", "Name a recognizer, such as whisper-base."
                )
        if listener.likelihood and not isinstance(self._recognizer, ScoresText):
            raise BadInput(f"{listener.recognizer} tells no likelihood of a text.", "Use a Whisper of transformers.")
        self.listener = listener
        self._speaker: Any
        self._opinion: Any
        self._speaker, self._opinion = (
            None if name is None else METRICS.get(name)() for name in (listener.speaker, listener.opinion)
        )

    def transcript(self, audio: Audio, language: str = "en") -> str:
        """What the recognizer hears; nothing in no sound."""
        return str(self._recognizer.transcribe([self._request(audio, language)])[0]) if len(audio.samples) else ""

    def likeness(self, audio: Audio, prompt: Audio) -> Reward:
        """How like the prompt's voice it is."""
        similarity = _score(self._speaker, audio, prompt, "similarity") if len(audio.samples) else None
        return INVALID if similarity is None else rewards.speaker(similarity)

    def judge(self, text: str, audio: Audio, prompt: Audio | None = None, language: str = "en") -> dict[str, Reward]:
        """The rewards that this ear can take of `audio` as an answer to `text`: `duration`, and by what it listens with
        `cer`, `nll`, `sim` (to the `prompt`) and `mos`. What cannot be heard is invalid."""
        taken = {"duration": rewards.duration(text, audio.seconds)}
        empty = len(audio.samples) == 0
        if self._recognizer is not None:
            taken["cer"] = rewards.intelligibility(text, self.transcript(audio, language), language)
        if self.listener.likelihood:
            unheard = empty or audio.seconds > self._recognizer.window_seconds
            taken["nll"] = (
                INVALID if unheard else rewards.likelihood(self._recognizer.nll(self._request(audio, language), text))
            )
        if self.listener.speaker is not None and prompt is not None:
            taken["sim"] = self.likeness(audio, prompt)
        if self._opinion is not None:
            (part,) = self._opinion.summaries[0].parts
            mos = None if empty else _score(self._opinion, audio, prompt, part)
            taken["mos"] = INVALID if mos is None else rewards.opinion(mos)
        return taken

    def _request(self, audio: Audio, language: str) -> TranscriptionRequest:
        return TranscriptionRequest("candidate", lambda: audio.resampled(self._recognizer.sample_rate), language)


def _score(metric: Metric, audio: Audio, prompt: Audio | None, part: str) -> float | None:
    """One part of a metric of sound; None where it has no value."""
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


def worth(taken: Mapping[str, Reward], by: By) -> float:
    """What a candidate is chosen by: its words, its voice, or the harmonic mean of both; 0 where it was not heard."""
    return rewards.composite(taken, WEIGHTS[by], "harmonic").value


def best(candidates: Sequence[Mapping[str, Reward]], by: By) -> int:
    """The place of the best candidate, the first of equals."""
    return int(np.argmax([worth(taken, by) for taken in candidates]))


def best_of_curve(
    chosen_by: NDArray[np.float64], judged: NDArray[np.float64], sizes: Sequence[int]
) -> dict[int, float]:
    """What the best of n comes to, for each n of `sizes`: the mean of `judged` [texts, N] over the candidate with the
    greatest `chosen_by` [texts, N], expected over all ways to draw n of the N candidates. The first of equals wins."""
    total = chosen_by.shape[1]
    if not sizes or min(sizes) < 1 or max(sizes) > total:
        raise BadInput(f"No best of {list(sizes)} can be drawn from {total} candidates.", "Use n from 1 to N.")
    order = np.argsort(-chosen_by, axis=1, kind="stable")
    ranked = np.take_along_axis(judged, order, axis=1)  # best first
    curve = {}
    for n in sizes:
        # The candidate of rank r is the best of a draw that leaves out the r before it.
        odds = np.array([comb(total - 1 - rank, n - 1) for rank in range(total)], dtype=np.float64) / comb(total, n)
        curve[n] = float((ranked @ odds).mean())
    return curve
