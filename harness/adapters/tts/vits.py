"""VITS and MMS-TTS checkpoints of transformers: one model per language, text to waveform in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from speech_eval.adapters.base import SpeechSynthesizer, SynthesisRequest
from speech_eval.adapters.checkpoints import choose_device, load_model, locate, seeded, weights_digest
from speech_eval.adapters.options import number, whole
from speech_eval.adapters.parts import load_part
from speech_eval.audio import Audio, Samples
from speech_eval.errors import BadInput, require
from speech_eval.records import ModelInfo


class Vits(SpeechSynthesizer):
    """Speech of a `VitsModel` checkpoint, at the checkpoint's own rate (16 kHz for MMS-TTS).

    `noise_scale`, `noise_scale_duration` and `speaking_rate` override the checkpoint's own; both noises at 0 make it
    deterministic. `speaker_id` is for checkpoints of several speakers. All noise is drawn from the request's seed, and
    requests run one by one, so the output does not depend on the batch. The request's language is ignored: a checkpoint
    speaks the one it was trained on.
    """

    def __init__(
        self,
        path: str,
        revision: str | None = None,
        noise_scale: float | None = None,
        noise_scale_duration: float | None = None,
        speaking_rate: float | None = None,
        speaker_id: int | None = None,
        device: str = "auto",
        dtype: str = "float32",
        trust_remote_code: bool = False,
    ) -> None:
        self._checkpoint = locate(path, revision, trust_remote_code=trust_remote_code)
        self._device = choose_device(device)
        self._model = load_model("VitsModel", self._checkpoint, dtype=dtype, device=self._device, extra="tts")
        self._tokenizer = load_part("AutoTokenizer", self._checkpoint.directory, extra="tts")
        self._check_front_end()
        self._speaker_id = self._check_speaker(speaker_id)
        for name, value in (
            ("noise_scale", noise_scale),
            ("noise_scale_duration", noise_scale_duration),
            ("speaking_rate", speaking_rate),
        ):
            if value is not None:
                setattr(self._model, name, number(name, value, above=name == "speaking_rate"))

    def info(self) -> ModelInfo:
        return ModelInfo(
            name=self._checkpoint.name,
            revision=self._checkpoint.revision,
            weights_sha256=weights_digest(self._checkpoint.weights()),
            license=self._checkpoint.license(),
            parameters=sum(parameter.numel() for parameter in self._model.parameters()),
            metadata={
                "noise_scale": self._model.noise_scale,
                "noise_scale_duration": self._model.noise_scale_duration,
                "speaking_rate": self._model.speaking_rate,
                "device": self._device,
            },
        )

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        rate = int(self._model.config.sampling_rate)
        return [Audio(self._speak(request), rate) for request in requests]

    def _speak(self, request: SynthesisRequest) -> Samples:
        torch = require("torch", "tts")
        inputs = self._tokens(request)
        with torch.inference_mode(), seeded(request.seed):
            waveform = self._model(**inputs, speaker_id=self._speaker_id).waveform
        return np.asarray(waveform[0].float().cpu().numpy(), dtype=np.float32)

    def _tokens(self, request: SynthesisRequest) -> dict[str, Any]:
        if not request.text.strip():
            raise BadInput(f"{request.id}: there is no text to speak.", "Give the sample a text.")
        inputs = self._tokenizer(request.text, return_tensors="pt")
        # Token 0 is the blank between letters; unknown letters are dropped by the tokenizer itself.
        if not bool((inputs["input_ids"] != 0).any()):
            raise BadInput(
                f"{request.id}: no letter of the text is in the checkpoint's alphabet.",
                "Use a checkpoint of the text's language and script.",
            )
        return {name: tensor.to(self._model.device) for name, tensor in inputs.items()}

    def _check_front_end(self) -> None:
        """Raise for a package that the script needs: without it the tokenizer only warns, and drops the letters."""
        from transformers.utils import is_phonemizer_available, is_uroman_available

        for wanted, available, package in (
            (getattr(self._tokenizer, "is_uroman", False), is_uroman_available(), "uroman"),
            (getattr(self._tokenizer, "phonemize", False), is_phonemizer_available(), "phonemizer"),
        ):
            if wanted and not available:
                raise BadInput(
                    f"{self._checkpoint.name} needs the Python package '{package}' to read its script.",
                    f"Install it with: pip install {package}",
                )

    def _check_speaker(self, speaker_id: int | None) -> int | None:
        speakers = int(self._model.config.num_speakers)
        if speakers <= 1:
            if speaker_id:
                raise BadInput(f"{self._checkpoint.name} has one speaker.", "Leave out speaker_id.")
            return None
        return whole("speaker_id", 0 if speaker_id is None else speaker_id, 0, speakers - 1)
