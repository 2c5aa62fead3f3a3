"""A trained detokenizer behind the harness's codec interface: the base codec encodes, the flow decodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speech_eval.adapters.base import AudioCodec, Codes
from speech_eval.adapters.checkpoints import choose_device, combined_digest, weights_digest
from speech_eval.adapters.options import number, whole
from speech_eval.audio import Audio
from speech_eval.errors import require
from speech_eval.records import ModelInfo

if TYPE_CHECKING:
    from torch import Tensor

    from speech_eval.reference_models.conversation.flow.model import DetokenizerStream


class FlowCodec(AudioCodec):
    """A directory with `reference.json` of kind `flow`.

    `nfe` is the number of steps from noise to spectrogram, `guidance` how far codes are exaggerated against none (0:
    not, and half the work), `seed` that of the noise, `codec` a model spec of the base codec in another place. It
    streams in blocks of the checkpoint's length, each `ahead` frames after its codes.
    """

    causal = True

    def __init__(
        self,
        path: str,
        nfe: int = 8,
        guidance: float = 0.7,
        seed: int = 0,
        codec: str | None = None,
        device: str = "auto",
    ) -> None:
        self._torch = require("torch", "codec")
        from speech_eval.reference_models.conversation.flow.model import Detokenizer
        from speech_eval.reference_models.speech_lm.codec_stream import load_codec
        from speech_eval.reference_models.training.checkpoint import WEIGHTS

        self._directory = Path(path)
        self._nfe, self._guidance = whole("nfe", nfe), number("guidance", guidance)
        self._seed = whole("seed", seed, 0)
        model, self._card = Detokenizer.load(self._directory)
        section = model.config.codec
        self._base = load_codec(codec or section.seen_from(self._directory))
        section.check_weights(self._base.info().weights_sha256, self._directory)
        self._weights = self._directory / WEIGHTS
        self._device = self._torch.device(choose_device(device))
        self._model = model.to(self._device)
        self.sample_rate = self._base.sample_rate

    def info(self) -> ModelInfo:
        base = self._base.info()
        own = weights_digest([self._weights])
        return ModelInfo(
            spec="",
            name=str(self._card.get("name", self._directory.resolve().name)),
            interfaces=[],
            weights_sha256=combined_digest({"flow": own, "codec": base.weights_sha256}),
            license=str(self._card.get("license", "")),
            parameters=sum(parameter.numel() for parameter in self._model.parameters()),
            metadata={"nfe": self._nfe, "guidance": self._guidance, "seed": self._seed, "codec": base.name},
        )

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        return self._base.encode(audios)

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        return [self._whole(item) for item in codes]

    def stream_decode(self, codes: Codes) -> Iterator[Audio]:
        """Block by block."""
        repeats, block = self._model.config.repeats, self._model.config.velocity.block
        steps = [block // repeat for repeat in repeats]
        parts = (
            replace(
                codes,
                codebooks=[book[i * n : (i + 1) * n] for book, n in zip(codes.codebooks, steps, strict=True)],
            )
            for i in range(-(-len(codes.codebooks[0]) // steps[0]))
        )
        left = self._samples(codes)
        for chunk in self.stream_parts(parts):
            if left > 0:
                yield Audio(chunk.samples[:left], chunk.rate)
            left -= len(chunk.samples)

    def stream_parts(self, parts: Iterable[Codes]) -> Iterator[Audio]:
        """The audio of codes that arrive in parts of whole steps of the slowest codebook."""
        stream, empty = self._stream(), None
        for part in parts:
            books = self._tensors(part)
            empty = [book[:, :0] for book in books]
            yield from self._heard(stream.push(books))
        if empty is not None:
            yield from self._heard(stream.push(empty, last=True))

    def _whole(self, codes: Codes) -> Audio:
        sound = self._stream().push(self._tensors(codes), last=True)
        return next(self._heard(sound[..., : self._samples(codes)]), Audio(np.zeros(0, np.float32), self.sample_rate))

    def _samples(self, codes: Codes) -> int:
        """The length of a recording: as its codec tells, else that of its codes."""
        whole_codes = len(codes.codebooks[0]) * self._model.config.repeats[0] * self._model.config.hop
        return int(codes.metadata.get("frames", whole_codes))

    def _stream(self) -> DetokenizerStream:
        from speech_eval.reference_models.conversation.flow.model import DetokenizerStream

        return DetokenizerStream(self._model, self._nfe, self._guidance, self._seed)

    def _tensors(self, codes: Codes) -> list[Tensor]:
        return [
            self._torch.from_numpy(np.asarray(book, dtype=np.int64))[None].to(self._device) for book in codes.codebooks
        ]

    def _heard(self, sound: Tensor) -> Iterator[Audio]:
        if sound.shape[-1]:
            samples: Any = sound[0, 0].float().cpu().numpy()
            yield Audio(np.asarray(samples, dtype=np.float32), self.sample_rate)
