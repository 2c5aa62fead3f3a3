"""Recognizers of SpeechBrain (extra `speechbrain`): encoders with CTC, and encoders with a decoder that searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.adapters.catalog import Target
from speech_eval.adapters.speechbrain_folder import EXTRA, SpeechBrainFolder, locate
from speech_eval.errors import BadInput, require
from speech_eval.records import ModelInfo

_SETTINGS = ("tokenizer", "decoding_function", "test_beam_search", "transducer_beam_search", "transformer_beam_search")


def scheme(rest: str, options: dict[str, Any], trust_remote_code: bool) -> Target:
    """`speechbrain:SOURCE`: a folder that holds hyperparams.yaml, or a repository of the hub."""
    trust = {"trust_remote_code": True} if trust_remote_code else {}
    return SpeechBrain, {"source": rest, **trust, **options}


class SpeechBrain(SpeechRecognizer):
    """A model that SpeechBrain's `EncoderASR` or `EncoderDecoderASR` runs, by its folder or repository.

    Recordings are transcribed one by one, so that no transcript depends on the rest of a batch. The model's vocabulary
    decides the language. hyperparams.yaml may name networks of SpeechBrain and PyTorch only; with `trust_remote_code`
    SpeechBrain loads the folder itself, and runs whatever code the file names.
    """

    def __init__(
        self, source: str, revision: str | None = None, device: str = "auto", trust_remote_code: bool = False
    ) -> None:
        self._torch = require("torch", EXTRA)
        inference = require("speechbrain.inference.ASR", EXTRA)
        self._folder = SpeechBrainFolder(locate(source, revision))
        settings = self._folder.settings
        modules = settings.keys("modules")
        if "encoder" not in modules:
            named = ", ".join(sorted(modules)) or "none"
            raise BadInput(
                f"{source} is not a recognizer with an encoder; its modules are {named}.",
                "Choose a model that SpeechBrain's EncoderASR or EncoderDecoderASR runs.",
            )
        cls = inference.EncoderDecoderASR if "decoder" in modules else inference.EncoderASR
        self._trusted = trust_remote_code
        if trust_remote_code:
            self._model = self._folder.build_trusted(cls, device)
        else:
            self._model = self._folder.build(cls, _SETTINGS, device)

    def info(self) -> ModelInfo:
        return self._folder.info(self._model, runs=type(self._model).__name__, trusted=self._trusted)

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        """One transcript per request."""
        return [self._transcribe(request) for request in requests]

    def _transcribe(self, request: TranscriptionRequest) -> str:
        samples = self._torch.from_numpy(request.audio.samples)[None]
        with self._torch.inference_mode():
            words, _ = self._model.transcribe_batch(samples, self._torch.ones(1))
        return str(words[0]).strip()
