"""Speech as a recognizer hears it, sample by sample in its language, and the errors in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.audio import Audio
from speech_eval.errors import BadInput
from speech_eval.text import compared_letters, compared_words, separates_words


class Heard(NamedTuple):
    """A text, what was recognized of it, and the tag of its language."""

    text: str
    transcript: str
    language: str


class Recognizer:
    """The recognizer of a model spec. Raises `BadInput` naming the `key` of a recipe for a model of another kind."""

    def __init__(self, spec: str, key: str) -> None:
        model = modelspec.resolve(spec).build()
        if not isinstance(model, SpeechRecognizer):
            raise BadInput(f"{key}: {spec} is not a recognizer.", "Give one, such as whisper-base.")
        self.spec, self.model = spec, model
        self._problems: dict[str, str] = {}

    def transcript(self, audio: Audio, language: str) -> str:
        """What is understood; empty for empty audio. Raises `BadInput` for a language that the model does not know."""
        return str(self.model.transcribe([self.request(audio, language)])[0]) if len(audio.samples) else ""

    def request(self, audio: Audio, language: str) -> TranscriptionRequest:
        """The question what is said in `audio`."""
        return TranscriptionRequest("candidate", lambda: audio.resampled(self.model.sample_rate), language)

    def problem(self, language: str) -> str:
        """Why the recognizer cannot be asked for a language, found by asking it; empty if it can."""
        if language not in self._problems:
            hum = (np.sin(np.arange(self.model.sample_rate // 2) / 10) / 100).astype(np.float32)
            try:
                self.transcript(Audio(hum, self.model.sample_rate), language)
                self._problems[language] = ""
            except BadInput as error:
                self._problems[language] = error.problem.rstrip(".")
        return self._problems[language]


def error_rate(found: Iterable[Heard]) -> float:
    """Errors per word of the texts, each pair normalized by its language; letters count as words in languages that are
    written without spaces."""
    import jiwer

    pairs = [_units(item) for item in found]
    counts = jiwer.process_words([text for text, _ in pairs], [heard for _, heard in pairs])
    words = counts.hits + counts.substitutions + counts.deletions
    return float((counts.substitutions + counts.deletions + counts.insertions) / max(words, 1))


def _units(item: Heard) -> tuple[str, str]:
    if separates_words(item.language):
        return compared_words(*item)
    text, heard = compared_letters(*item)
    return " ".join(text.replace(" ", "")), " ".join(heard.replace(" ", ""))
