"""Recognizers of FunASR (extra `funasr`), such as the Paraformer that scores Chinese speech in Seed-TTS-eval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.adapters.catalog import Target
from speech_eval.cache import file_sha256
from speech_eval.errors import require
from speech_eval.records import ModelInfo

BATCH_SECONDS = 300  # Seed-TTS-eval's batch_size_s


def scheme(rest: str, options: dict[str, Any], trust_remote_code: bool) -> Target:
    """`funasr:MODEL`: the name FunASR knows a model by, or its folder."""
    return FunASR, {"model": rest, **options}


class FunASR(SpeechRecognizer):
    """A model by the name FunASR knows it by (`paraformer-zh`, `iic/SenseVoiceSmall`), or its folder.

    Clips are transcribed one by one, so that no transcript depends on the rest of a batch. `hub` is where a name is
    looked up (`ms` or `hf`), `device` such as `cpu` or `cuda:0`; `language` is passed to models that take one
    (SenseVoice).
    """

    def __init__(
        self,
        model: str,
        hub: str = "ms",
        revision: str | None = None,
        device: str = "cpu",
        language: str | None = None,
    ) -> None:
        library = require("funasr", "funasr")
        given = {} if revision is None else {"model_revision": revision}
        self._name, self._revision, self._language = model, revision, language
        self._model = library.AutoModel(model=model, hub=hub, device=device, disable_update=True, **given)

    def info(self) -> ModelInfo:
        folder = Path(str(getattr(self._model, "model_path", None) or self._name))
        weights = next((file for name in ("model.pt", "model.pb") if (file := folder / name).is_file()), None)
        return ModelInfo(
            name=self._name,
            revision=self._revision or "",
            weights_sha256="" if weights is None else file_sha256(weights),
        )

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        """One transcript per request. Raises `ValueError` where FunASR gives none."""
        return [self._transcribe(request) for request in requests]

    def _transcribe(self, request: TranscriptionRequest) -> str:
        told: dict[str, Any] = {} if self._language is None else {"language": self._language}
        answers = self._model.generate(
            input=request.audio.samples, fs=self.sample_rate, batch_size_s=BATCH_SECONDS, disable_pbar=True, **told
        )
        if len(answers) != 1 or not isinstance(answers[0].get("text"), str):
            raise ValueError(f"FunASR gave no transcript for {request.id}: {answers!r:.200}")
        return str(answers[0]["text"])
