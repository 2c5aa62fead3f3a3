"""SpeechT5 (Microsoft): text to a mel spectrogram in the voice of an x-vector, and a HiFi-GAN."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from speech_eval.adapters.parts import load_part
from speech_eval.adapters.tts.native import Utterance, Voice, WithCodec, read_array
from speech_eval.errors import BadInput, require


class SpeechT5(WithCodec):
    """`microsoft/speecht5_tts` and kin, 16 kHz. The voice is an x-vector in `speaker`, a file of `numpy.save`; by
    default it is the zero vector, which no speaker has. It does not clone: voice prompts do not change it. `codec` is
    the vocoder."""

    model_class = "SpeechT5ForTextToSpeech"
    codec_class, codec_type, codec_published = "SpeechT5HifiGan", "speecht5_hifigan", "microsoft/speecht5_hifigan"
    sampling: ClassVar[dict[str, Any]] = {}
    sampled_by = ()  # its seed decides the dropout of the decoder, which is always on
    clones = False
    extra = "speecht5"

    def __init__(self, path: str, speaker: str | None = None, **options: Any) -> None:
        require("sentencepiece", self.extra)
        super().__init__(path, **options)
        self._speaker = speaker
        self._embedding = self._read_speaker(speaker).to(self._model.device, self._model.dtype)

    def _read_speaker(self, speaker: str | None) -> Any:
        size = self._model.config.speaker_embedding_dim
        if speaker is None:
            return self._torch.zeros(1, size)
        try:
            vector = read_array(speaker).astype(np.float32).reshape(-1)
        except (OSError, ValueError) as error:
            raise BadInput(
                f"speaker={speaker}: not a readable array ({error}).", "Use a file of numpy.save."
            ) from error
        if len(vector) != size or not np.isfinite(vector).all():
            raise BadInput(
                f"speaker={speaker}: {len(vector)} numbers; {self._checkpoint.name} takes {size} finite ones.",
                "Use an x-vector of its size.",
            )
        return self._torch.from_numpy(vector)[None]

    def _assemble(self, directory: Path, codec: Any) -> Any:
        self._vocoder = codec
        return load_part("AutoTokenizer", directory)

    @property
    def _rate(self) -> int:
        return int(self._vocoder.config.sampling_rate)

    def _stated(self) -> dict[str, Any]:
        return {**super()._stated(), "speaker": self._speaker or "zeros"}

    def _speak(self, text: str, voice: Voice | None) -> Utterance:
        ids = self._processor(text, return_tensors="pt")["input_ids"].to(self._model.device)
        config = self._model.config
        letters = ids.shape[1]
        if letters > config.max_text_positions:
            raise BadInput(
                f"The text has {letters} letters; {self._checkpoint.name} takes {config.max_text_positions}.",
                "Use a shorter text.",
            )
        each = prod(self._vocoder.config.upsample_rates)  # samples per frame
        steps = self._frames(self._rate / each / config.reduction_factor, 0, config.max_speech_positions)
        # The model counts its limit in frames per letter, rounded down.
        ratio = (steps + 0.5) * config.reduction_factor / letters
        wave = self._model.generate_speech(ids, self._embedding, vocoder=self._vocoder, maxlenratio=ratio)
        frames = wave.shape[-1] // each
        return Utterance(wave, frames, stopped=frames < steps * config.reduction_factor)
