"""Hibari: an 8 MB English synthesizer (ONNX, 24 kHz, one voice per model), many times faster than real time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speech_eval.adapters.base import SpeechSynthesizer, SynthesisRequest
from speech_eval.adapters.options import number, whole
from speech_eval.assets import store as assets
from speech_eval.audio import Audio
from speech_eval.cache import file_sha256
from speech_eval.errors import BadInput, NotFetched, clipped, nearest, require
from speech_eval.records import ModelInfo

SAMPLE_RATE = 24_000
SPEEDS = (0.5, 2.0)


def engine(voice: str = "heart", threads: int = 1) -> Any:
    """A `hibari.Hibari` whose installed model and lexicons have the pinned digests.

    Raises `BadInput` for an unknown voice or for files of another version, `NotFetched` for a voice that is not in
    the package and not in hibari's own cache: nothing is downloaded here.
    """
    hibari = require("hibari", "tts", "hibari-tts")
    require("onnxruntime", "tts")
    whole("threads", threads)
    for name, digest in assets.ASSETS["hibari"].files.items():
        installed = Path(hibari.__file__).parent / "assets" / name
        if name.startswith("licenses/"):
            continue
        if not installed.is_file() or file_sha256(installed) != digest:
            raise BadInput(
                f"{installed} is not the pinned file of hibari-tts {hibari_version()}.",
                f"Install the pinned version again: pip install --force-reinstall hibari-tts=={hibari_version()}",
            )
    return hibari.Hibari(voice=voice, model=str(_voice_file(voice)), threads=threads)


def hibari_version() -> str:
    """The version of the engine that results are pinned to."""
    return assets.ASSETS["hibari"].packages[0].version


def _voice_file(voice: str) -> Path:
    voices = require("hibari.voices", "tts", "hibari-tts")
    if voice not in voices.VOICES:
        raise BadInput(f"Hibari has no voice '{clipped(voice)}'.", nearest(voice, voices.VOICES))
    try:
        file = Path(voices.voice_path(voice, download_missing=False))
    except FileNotFoundError as error:
        raise NotFetched(
            f"Hibari's voice '{voice}' is not on this machine.", f"Fetch it with: hibari --voice {voice} 'Hello.'"
        ) from error
    digest = voices.VOICES[voice].get("sha256")
    if digest and file_sha256(file) != digest:
        raise BadInput(f"{file} does not have the digest hibari names for it.", "Delete it and fetch it again.")
    return file


def english_text(request: SynthesisRequest) -> str:
    """The text of a request to an English-only model. Raises `BadInput` for no text or another language."""
    if not request.text.strip():
        raise BadInput(f"{request.id}: there is no text to speak.", "Give the sample a text.")
    if request.language.lower().replace("_", "-").split("-")[0] != "en":
        raise BadInput(f"{request.id}: this model speaks English, not '{request.language}'.", "Use espeak-ng, say.")
    return request.text


class Hibari(SpeechSynthesizer):
    """English speech at 24 kHz. `voice` names one of hibari's voices, `speed` is a factor from 0.5 to 2.

    The voice's noise component is drawn from the request's seed. A text without a pronounceable word gives audio of
    no samples. `stream` yields sentence by sentence.
    """

    def __init__(self, voice: str = "heart", speed: float = 1.0, threads: int = 1) -> None:
        self.voice = voice
        self.speed = number("speed", speed, *SPEEDS)
        self._engine = engine(voice, threads)

    def info(self) -> ModelInfo:
        return ModelInfo(
            name=f"Hibari ({self.voice})",
            revision=hibari_version(),
            weights_sha256=file_sha256(self._engine.model_path),
            license=assets.ASSETS["hibari"].license,
            metadata={"voice": self.voice, "speed": self.speed},
        )

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        return [join(self.stream(request), SAMPLE_RATE) for request in requests]

    def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
        for samples in self._engine.stream(english_text(request), speed=self.speed, seed=request.seed):
            yield Audio(samples, SAMPLE_RATE)


def join(chunks: Iterator[Audio], rate: int) -> Audio:
    """The chunks of one stream as one waveform; no samples where there are no chunks."""
    pieces = [chunk.samples for chunk in chunks]
    return Audio(np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32), rate)
