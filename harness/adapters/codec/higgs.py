"""The audio tokenizer of Higgs Audio v2: 8 codebooks at 25 Hz from an acoustic and a semantic encoder."""

from __future__ import annotations

from typing import Any

from speech_eval.adapters.codec.transformers_codecs import TransformersCodec
from speech_eval.errors import BadInput, require


def need_torchaudio(extra: str = "higgs") -> None:
    """Raise `MissingExtra` where torchaudio is not installed, and `BadInput` where it does not fit this torch."""
    try:
        require("torchaudio", extra)
    except OSError as error:
        raise BadInput(
            f"torchaudio does not load beside this build of torch ({str(error).splitlines()[0]}).",
            "Install the torchaudio of the same release and the same build (CPU or CUDA) as torch.",
        ) from error


class HiggsTokenizer(TransformersCodec):
    """`bosonai/higgs-audio-v2-tokenizer` as transformers stores it, 24 kHz, 2 kbit/s. Needs torchaudio, which resamples
    the input of the semantic encoder."""

    auto_class = "HiggsAudioV2TokenizerModel"

    def __init__(self, path: str, **options: Any) -> None:
        need_torchaudio()
        super().__init__(path, **options)

    def _rate(self) -> int:
        return int(self._config.sample_rate)

    def _codebooks(self) -> int:
        return int(self._config.num_quantizers)

    def _hop(self) -> int:
        return int(self._config.hop_length)

    def _to_codes(self, samples: Any) -> Any:
        return self._model.encode(samples).audio_codes[0, : self._depth]

    def _to_wave(self, codes: Any) -> Any:
        return self._model.decode(codes).audio_values
