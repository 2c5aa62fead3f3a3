"""XCodec2: one scalar-quantized stream at 50 Hz, from the waveform and the features of a w2v-BERT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from speech_eval.adapters.base import Codes
from speech_eval.adapters.codec.transformers_codecs import TransformersCodec
from speech_eval.audio import Audio, Samples
from speech_eval.errors import BadAudio
from speech_eval.signal.features import kaldi_fbank

_RATE, _HOP = 16_000, 320  # of both encoders' input; the semantic one takes two 10 ms frames per hop


class XCodec2(TransformersCodec):
    """XCodec2 (`HKUSTAudio/xcodec2-hf`), 16 kHz, 0.8 kbit/s.

    Its own feature extractor needs torchaudio; this computes the same Kaldi filter bank without it.
    """

    auto_class = "Xcodec2Model"
    margin: ClassVar[int] = _HOP // 2

    @property
    def depths(self) -> Sequence[int]:
        return ()

    def _encode_one(self, audio: Audio) -> Codes:
        if audio.rate != self.sample_rate:
            raise BadAudio(f"{self._checkpoint.name}: audio at {audio.rate} Hz.", f"Resample to {self.sample_rate} Hz.")
        heard = audio.resampled(_RATE).samples
        heard = np.pad(heard, (0, 1 + -(len(heard) + 1) % _HOP))  # one zero, then up to whole hops
        with self._torch.inference_mode():
            codes = self._to_codes(self._torch.from_numpy(heard)[None, None])
        books: list[NDArray[np.int64]] = list(codes.cpu().numpy().astype(np.int64))
        size = int(np.prod(self._config.quantization_levels))
        return Codes(books, [_RATE / _HOP], [size], {"frames": len(audio.samples)})

    def _codebooks(self) -> int:
        return 1

    def _hop(self) -> int:
        return _HOP

    def _to_codes(self, samples: Any) -> Any:
        features = self._torch.from_numpy(semantic_features(samples[0, 0].numpy(), self.margin))[None]
        inputs = {"input_values": samples, "input_features": features}
        inputs = {name: tensor.to(self._model.device, self._model.dtype) for name, tensor in inputs.items()}
        return self._model.encode(**inputs).audio_codes[0]

    def _to_wave(self, codes: Any) -> Any:
        return self._model.decode(codes).audio_values


def semantic_features(samples: Samples, margin: int) -> NDArray[np.float32]:
    """The w2v-BERT's input for whole hops of 16 kHz samples, with `margin` zeros on either side: [hops, 160].

    Kaldi log mel energies of 16-bit scale, each band with mean 0 and variance 1, two frames joined into one.
    """
    bands = kaldi_fbank(np.pad(samples, margin) * np.float32(2**15))
    bands = (bands - bands.mean(axis=0)) / np.sqrt(bands.var(axis=0, ddof=1) + 1e-7)
    return np.ascontiguousarray(bands[: len(bands) // 2 * 2].reshape(-1, 160), dtype=np.float32)
