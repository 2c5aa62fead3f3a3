"""Whisper on CTranslate2 through faster-whisper: the quick recognizer for CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from speech_eval.adapters.asr.whisper import whisper_language
from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.adapters.checkpoints import ASSET, weights_digest
from speech_eval.adapters.options import whole
from speech_eval.assets import store as assets
from speech_eval.errors import BadInput, require
from speech_eval.records import ModelInfo

_FILES = ("model.bin", "config.json", "tokenizer.json")


class FasterWhisper(SpeechRecognizer):
    """A CTranslate2 directory, or a bundled model `asset:NAME`.

    Temperature 0 only, no conditioning on earlier text and no voice-activity filter, so that the transcript is a
    function of the audio alone. `compute_type` is CTranslate2's: int8, float32, float16 and others. Raises `BadInput`
    for a directory that is incomplete.
    """

    def __init__(
        self,
        path: str,
        compute_type: str = "int8",
        beam_size: int = 1,
        device: str = "cpu",
        cpu_threads: int = 1,
    ) -> None:
        library = require("faster_whisper", "asr", "faster-whisper")
        self.beam_size = whole("beam_size", beam_size)
        asset = path.removeprefix(ASSET) if path.startswith(ASSET) else None
        self._directory = assets.ensure(asset) if asset else Path(path)
        self._name = asset or self._directory.resolve().name
        self._license = assets.ASSETS[asset].license if asset else ""
        self._compute_type = compute_type
        for name in _FILES:
            if not (self._directory / name).is_file():
                raise BadInput(f"{self._directory}: {name} is missing.", "Give a CTranslate2 Whisper directory.")
        try:
            self._model = library.WhisperModel(
                str(self._directory),
                device=device,
                compute_type=compute_type,
                cpu_threads=whole("cpu_threads", cpu_threads),
                local_files_only=True,
            )
        except (RuntimeError, ValueError) as error:
            raise BadInput(
                f"{self._directory}: CTranslate2 cannot load it ({error}).",
                "Convert the model again, or check options.",
            ) from error

    def info(self) -> ModelInfo:
        return ModelInfo(
            name=self._name,
            weights_sha256=weights_digest([self._directory / "model.bin"]),
            license=self._license,
            metadata={"compute_type": self._compute_type, "beam_size": self.beam_size},
        )

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        """One transcript per request. Raises `BadInput` for a language the model does not know."""
        return [self._transcribe(request) for request in requests]

    def _transcribe(self, request: TranscriptionRequest) -> str:
        known = self._model.supported_languages if self._model.model.is_multilingual else None
        language = whisper_language(request.language, known, str(self._directory))
        segments, _ = self._model.transcribe(
            request.audio.samples,
            language=language or "en",
            task="transcribe",
            beam_size=self.beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=False,
        )
        return " ".join(segment.text.strip() for segment in segments).strip()

    def close(self) -> None:
        self._model.model.unload_model()
