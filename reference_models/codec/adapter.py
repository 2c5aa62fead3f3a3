"""A trained codec checkpoint behind the harness's codec interface."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speech_eval.adapters.base import AudioCodec, Codes
from speech_eval.adapters.checkpoints import choose_device, weights_digest
from speech_eval.adapters.options import whole
from speech_eval.audio import Audio
from speech_eval.errors import BadAudio, require
from speech_eval.records import ModelInfo

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

STREAM_SECONDS = 0.08  # of audio per chunk of `stream_decode`, or one block if that is longer


class ReferenceCodec(AudioCodec):
    """A directory with `reference.json` of kind `codec`. The output is as long as the input.

    `n_codebooks` keeps only the first codebooks; default: all. A causal codec streams; any other is decoded whole.
    """

    def __init__(self, path: str, n_codebooks: int | None = None, device: str = "auto") -> None:
        self._torch = require("torch", "codec")
        from speech_eval.reference_models.codec.model import Codec
        from speech_eval.reference_models.training.checkpoint import WEIGHTS

        self._directory = Path(path)
        self._weights = self._directory / WEIGHTS
        self._codec, self._card = Codec.load(self._directory)
        available = len(self._codec.codebook_sizes)
        self._depth = available if n_codebooks is None else whole("n_codebooks", n_codebooks, 1, available)
        self._device = self._torch.device(choose_device(device))
        self._parameters = sum(parameter.numel() for parameter in self._codec.parameters())
        self._codec.remove_weight_norm()
        self._codec.to(self._device).eval()
        self.sample_rate = self._codec.config.sample_rate
        self.causal = self._codec.config.causal

    @property
    def decoder(self) -> Module:
        """The network that decodes."""
        return self._codec.decoder

    def info(self) -> ModelInfo:
        return ModelInfo(
            spec="",
            name=str(self._card.get("name", self._directory.resolve().name)),
            interfaces=[],
            weights_sha256=weights_digest([self._weights]),
            license=str(self._card.get("license", "")),
            parameters=self._parameters,
            metadata={"n_codebooks": self._depth, "causal": self.causal},
        )

    @property
    def depths(self) -> Sequence[int]:
        return range(1, self._depth + 1) if len(self._codec.codebook_sizes) > 1 else ()

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        return [self._encode(audio) for audio in audios]

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        return [self._decode(item) for item in codes]

    def stream_decode(self, codes: Codes) -> Iterator[Audio]:
        if not self.causal:
            yield self._decode(codes)
            return
        blocks = max(1, round(STREAM_SECONDS * self.sample_rate / self._codec.block))
        sizes = [blocks * self._codec.block // self._codec.hop // s for s in self._codec.quantizer.strides]
        left = int(codes.metadata["frames"])
        books = list(zip(codes.codebooks, sizes, strict=False))
        parts = (
            replace(codes, codebooks=[book[i * size : (i + 1) * size] for book, size in books])
            for i in range(-(-len(codes.codebooks[0]) // sizes[0]))
        )
        for chunk in self.stream_parts(parts):
            if left > 0 and len(chunk.samples):
                yield Audio(chunk.samples[:left], chunk.rate)
            left -= len(chunk.samples)

    def encode_parts(self, parts: Iterable[Audio]) -> Iterator[Codes]:
        """The codes that each part of a waveform completes, as soon as it is there. For causal codecs."""
        state, heard = self._codec.start_stream(), 0
        nothing = Audio(np.zeros(0, dtype=np.float32), self.sample_rate)
        for part, last in chain(((part, False) for part in parts), [(nothing, True)]):
            heard += len(part.samples)
            with self._torch.inference_mode():
                found = self._codec.stream_encode(self._wave(part), state, last=last)
            if found[0].shape[-1]:
                yield self._codes(found[: self._depth], heard)

    def stream_parts(self, parts: Iterable[Codes]) -> Iterator[Audio]:
        """The audio of codes that arrive in parts of whole steps of the slowest codebook, one chunk per part and a last
        one; chunks have no samples until the decoder's delay is over. For causal codecs."""
        state = self._codec.start_stream()
        empty = None
        for part in parts:
            books = self._tensors(part)
            empty = [book[:, :0] for book in books]
            yield self._decoded(books, state, last=False)
        if empty is not None:
            yield self._decoded(empty, state, last=True)

    def _decoded(self, books: list[Any], state: Any, *, last: bool) -> Audio:
        with self._torch.inference_mode():
            return self._audio(self._codec.stream_decode(books, state, last=last))

    def _encode(self, audio: Audio) -> Codes:
        with self._torch.inference_mode():
            found = self._codec.encode(self._wave(audio), self._depth)
        return self._codes(found, len(audio.samples))

    def _wave(self, audio: Audio) -> Tensor:
        if audio.rate != self.sample_rate:
            raise BadAudio(f"{self._directory}: audio at {audio.rate} Hz.", f"Resample to {self.sample_rate} Hz.")
        return self._torch.from_numpy(audio.samples)[None, None].to(self._device)

    def _codes(self, found: Sequence[Tensor], samples: int) -> Codes:
        return Codes(
            [book[0].cpu().numpy().astype(np.int64) for book in found],
            self._codec.frame_rates[: self._depth],
            self._codec.codebook_sizes[: self._depth],
            {"frames": samples},
        )

    def _decode(self, codes: Codes) -> Audio:
        with self._torch.inference_mode():
            return self._audio(self._codec.decode(self._tensors(codes))[..., : codes.metadata["frames"]])

    def _tensors(self, codes: Codes) -> list[Tensor]:
        return [
            self._torch.from_numpy(np.asarray(book, dtype=np.int64))[None].to(self._device) for book in codes.codebooks
        ]

    def _audio(self, wave: Tensor) -> Audio:
        return Audio(np.asarray(wave[0, 0].float().cpu().numpy(), dtype=np.float32), self.sample_rate)
