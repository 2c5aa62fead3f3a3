"""Neural codecs of transformers: EnCodec, the Descript Audio Codec and Mimi."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from speech_eval.adapters.base import AudioCodec, Codes
from speech_eval.adapters.checkpoints import load_model, locate
from speech_eval.adapters.codec.mimi_stream import MimiStream
from speech_eval.adapters.options import whole
from speech_eval.audio import Audio, Samples
from speech_eval.errors import BadAudio, BadInput, require
from speech_eval.records import ModelInfo


class TransformersCodec(AudioCodec):
    """A residual-vector-quantized codec checkpoint. Waveforms run one by one, because padding would change codes.

    `n_codebooks` keeps that many of the first codebooks, for a lower bitrate from the same model; all by default. The
    output has the input's length, less the few samples by which a decoder's convolutions may shorten it.
    """

    auto_class: ClassVar[str]

    def __init__(
        self,
        path: str,
        revision: str | None = None,
        n_codebooks: int | None = None,
        device: str = "auto",
        dtype: str = "float32",
        trust_remote_code: bool = False,
    ) -> None:
        self._torch = require("torch", "codec")
        self._checkpoint = locate(path, revision, trust_remote_code=trust_remote_code)
        self._model = load_model(self.auto_class, self._checkpoint, dtype=dtype, device=device, extra="codec")
        self._config = self._model.config
        self._check()
        available = self._codebooks()
        self._depth = available if n_codebooks is None else whole("n_codebooks", n_codebooks, 1, available)
        self.sample_rate = self._rate()

    def info(self) -> ModelInfo:
        return self._checkpoint.info(self._model, n_codebooks=self._depth)

    @property
    def depths(self) -> Sequence[int]:
        return range(1, self._depth + 1)

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        return [self._encode_one(audio) for audio in audios]

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        return [Audio(self._decode_one(item), self.sample_rate) for item in codes]

    def _encode_one(self, audio: Audio) -> Codes:
        if audio.rate != self.sample_rate:
            raise BadAudio(f"{self._checkpoint.name}: audio at {audio.rate} Hz.", f"Resample to {self.sample_rate} Hz.")
        padding = -len(audio.samples) % self._hop()
        samples = self._torch.from_numpy(np.pad(audio.samples, (0, padding)))[None, None]
        with self._torch.inference_mode():
            codes = self._to_codes(samples.to(self._model.device, self._model.dtype))
        books: list[NDArray[np.int64]] = list(codes.cpu().numpy().astype(np.int64))
        rate, size = self.sample_rate / self._hop(), int(self._config.codebook_size)
        return Codes(books, [rate] * len(books), [size] * len(books), {"frames": len(audio.samples)})

    def _decode_one(self, codes: Codes) -> Samples:
        tensor = self._torch.from_numpy(np.stack([np.asarray(book) for book in codes.codebooks]))
        with self._torch.inference_mode():
            wave = self._to_wave(tensor[None].to(self._model.device))
        samples = np.asarray(wave.reshape(-1).float().cpu().numpy(), dtype=np.float32)
        return samples[: codes.metadata["frames"]]

    def _check(self) -> None:
        """Raise `BadInput` for a checkpoint whose codes are not enough to decode."""

    def _rate(self) -> int:
        """Sample rate of input and output in Hz."""
        return int(self._config.sampling_rate)

    @abstractmethod
    def _codebooks(self) -> int:
        """How many codebooks the checkpoint has."""

    @abstractmethod
    def _hop(self) -> int:
        """Samples per frame."""

    @abstractmethod
    def _to_codes(self, samples: Any) -> Any:
        """[1, 1, frames × hop] to codes [codebooks, frames]."""

    @abstractmethod
    def _to_wave(self, codes: Any) -> Any:
        """Codes [1, codebooks, frames] to a waveform."""


class Encodec(TransformersCodec):
    """EnCodec (`encodec_24khz` and its variants). Its option bandwidth is `n_codebooks` here."""

    auto_class = "EncodecModel"

    def _check(self) -> None:
        config = self._config
        if config.audio_channels != 1 or config.normalize or config.chunk_length_s is not None:
            raise BadInput(
                f"{self._checkpoint.name} is stereo, cut into chunks or normalized by scales that no code carries.",
                "Use a mono checkpoint such as facebook/encodec_24khz.",
            )

    def _codebooks(self) -> int:
        return int(self._config.num_quantizers)

    def _hop(self) -> int:
        return int(np.prod(self._config.upsampling_ratios))

    def _to_codes(self, samples: Any) -> Any:
        codes = self._model.encode(samples, bandwidth=max(self._config.target_bandwidths)).audio_codes
        return codes[0, 0, : self._depth]

    def _to_wave(self, codes: Any) -> Any:
        return self._model.decode(codes[None], [None]).audio_values


class Dac(TransformersCodec):
    """The Descript Audio Codec (`dac_16khz`, `dac_24khz`, `dac_44khz`)."""

    auto_class = "DacModel"

    def _codebooks(self) -> int:
        return int(self._config.n_codebooks)

    def _hop(self) -> int:
        return int(self._config.hop_length)

    def _to_codes(self, samples: Any) -> Any:
        return self._model.encode(samples, n_quantizers=self._depth).audio_codes[0]

    def _to_wave(self, codes: Any) -> Any:
        return self._model.decode(audio_codes=codes).audio_values


class Mimi(TransformersCodec):
    """Mimi (`kyutai/mimi`). The first codebook is the semantic one; Moshi uses the first 8 of 32. Streams its decoding
    frame by frame, 80 ms each."""

    auto_class = "MimiModel"
    causal = True

    def _check(self) -> None:
        self.causal = bool(self._config.use_causal_conv)

    def _codebooks(self) -> int:
        return int(self._config.num_quantizers)

    def _hop(self) -> int:
        return round(self._config.sampling_rate / self._config.frame_rate)

    def _to_codes(self, samples: Any) -> Any:
        return self._model.encode(samples, num_quantizers=self._depth).audio_codes[0]

    def _to_wave(self, codes: Any) -> Any:
        return self._model.decode(codes).audio_values

    def stream_decode(self, codes: Codes) -> Iterator[Audio]:
        if not self.causal:
            yield from super().stream_decode(codes)
            return
        left = int(codes.metadata["frames"])
        frames = (
            replace(codes, codebooks=[book[i : i + 1] for book in codes.codebooks])
            for i in range(len(codes.codebooks[0]))
        )
        for chunk in self.stream_parts(frames):
            if left > 0:
                yield Audio(chunk.samples[:left], chunk.rate)
            left -= len(chunk.samples)

    def stream_parts(self, parts: Iterable[Codes]) -> Iterator[Audio]:
        """The audio of codes that arrive in parts of any number of frames. For causal checkpoints."""
        stream = MimiStream(self._model)
        for part in parts:
            codes = self._torch.from_numpy(np.stack([np.asarray(book) for book in part.codebooks]))[None]
            with self._torch.inference_mode():
                wave = stream.decode(codes.to(self._model.device))
            yield Audio(np.asarray(wave.float().cpu().numpy(), dtype=np.float32), self.sample_rate)
