"""A trained duplex model behind the harness's interface of duplex agents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speech_eval.adapters.base import DuplexAgent
from speech_eval.adapters.checkpoints import choose_device, weights_digest
from speech_eval.adapters.options import number, whole
from speech_eval.audio import Audio
from speech_eval.errors import BadAudio, require
from speech_eval.records import ModelInfo

if TYPE_CHECKING:
    from torch import Tensor

    from speech_eval.reference_models.speech_lm.layouts import Ints
    from speech_eval.reference_models.speech_lm.sampling import Sampling

_QUIET = 6  # frames without a word after which the agent counts as silent


class ReferenceDuplex(DuplexAgent):
    """A directory with `reference.json` of kind `duplex`, heard and spoken frame by frame.

    Sampling: `temperature` and `top_k` of the codes, `text_temperature` of the words; 0 is greedy. `eagerness` is added
    to the logit of a word's beginning while the agent is silent: above 0 it takes the turn sooner, below 0 later.
    `codec` is a model spec instead of the codec that the checkpoint names; it must be the same codec. Every
    conversation starts from `seed`.

    A frame is heard one step after it was written, and its acoustic codes `acoustic_delay` frames later still.
    """

    def __init__(
        self,
        path: str,
        codec: str | None = None,
        temperature: float = 0.8,
        top_k: int = 50,
        text_temperature: float = 0.0,
        eagerness: float = 0.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self._torch = require("torch", "tts")
        require("transformers", "tts")
        from speech_eval.reference_models.conversation.duplex import checkpoint
        from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec, load_codec
        from speech_eval.reference_models.speech_lm.sampling import Sampling

        self._directory = Path(path)
        self._device = choose_device(device)
        model, self.pieces, self._card = checkpoint.load(self._directory)
        self._model = model.to(self._device)
        section = model.config.codec
        found = load_codec(codec or section.seen_from(self._directory))
        section.check_weights(found.info().weights_sha256, self._directory)
        self._codec = SpeechCodec(found, section.codebook_sizes, section.frame_rates)
        self._codes = Sampling(temperature=number("temperature", temperature), top_k=whole("top_k", top_k, 0))
        self._words = Sampling(temperature=number("text_temperature", text_temperature))
        self._eagerness, self._seed = number("eagerness", eagerness, -100.0, 100.0), whole("seed", seed, 0)
        self.sample_rate = self._codec.sample_rate
        self.chunk_seconds = 1.0 / self._codec.step_rate
        self.reset()

    def info(self) -> ModelInfo:
        from speech_eval.reference_models.training.checkpoint import WEIGHTS

        return ModelInfo(
            spec="",
            name=str(self._card.get("name", self._directory.resolve().name)),
            interfaces=[],
            weights_sha256=weights_digest([self._directory / WEIGHTS]),
            license=str(self._card.get("license", "")),
            parameters=sum(parameter.numel() for parameter in self._model.parameters()),
            metadata={
                "temperature": self._codes.temperature,
                "top_k": self._codes.top_k,
                "text_temperature": self._words.temperature,
                "eagerness": self._eagerness,
                "seed": self._seed,
                "codec": self._codec.codec.info().weights_sha256,
            },
        )

    def reset(self) -> None:
        from transformers import DynamicCache

        from speech_eval.reference_models.speech_lm.codec_stream import TwoWayStream
        from speech_eval.reference_models.speech_lm.tokenizer import EMPTY

        torch = self._torch
        self._empty, self._begins = EMPTY, np.array(self._model.delays.slots[: self._model.written])
        self._stream, self._cache = TwoWayStream(self._codec), DynamicCache()
        self._random = torch.Generator().manual_seed(self._seed)
        self._quiet = _QUIET
        self.written: list[Ints] = []  # the text and the agent's codes of each row
        begin = self._model.delays
        nothing = np.full(begin.books, EMPTY)
        for _ in range(1 + begin.early):
            self._read(nothing)
        self._speak()  # the first frame is over before the first chunk is heard

    def words(self) -> list[tuple[str, float]]:
        """The words that the agent wrote since `reset`, and when each is heard, in seconds."""
        from speech_eval.reference_models.conversation.duplex.layout import words_of

        model, written = self._model, np.array([row[0] for row in self.written])
        late = model.config.acoustic_delay - model.delays.slots[0]  # of a word's sound after its row
        return [
            (self.pieces.word(ids), (row + late) * self.chunk_seconds)
            for row, ids in words_of(written, model.pad, model.epad)
        ]

    @property
    def text(self) -> str:
        """The words that the agent wrote since `reset`."""
        return " ".join(word for word, _ in self.words())

    def step(self, user_chunk: Audio) -> Audio:
        """Raises `BadAudio` for a chunk of another rate or length than one frame of the codec."""
        if user_chunk.rate != self.sample_rate or len(user_chunk.samples) != self._stream.hop:
            raise BadAudio(
                f"This model hears {self._stream.hop} samples at {self.sample_rate} Hz at a time, not "
                f"{len(user_chunk.samples)} at {user_chunk.rate} Hz.",
                "Give chunks of chunk_seconds at sample_rate.",
            )
        heard = self._stream.hear(user_chunk.samples)
        self._read(heard)
        return Audio(self._speak(), self.sample_rate)

    def _read(self, heard: Ints) -> None:
        """Read the newest row with what is heard in it [K], and write the text and the agent's codes of the next."""
        mine = self.written[-1] if self.written else self._model.start.numpy()[: 1 + len(heard)]
        row = self._torch.from_numpy(np.concatenate([mine, heard]))[None].to(self._device)
        with self._torch.inference_mode():
            hidden = self._model.advance(row, self._cache, len(self.written))
            written = self._model.speak(hidden, self._word, self._code)[0].cpu().numpy()
        written = np.where(len(self.written) < self._begins, self._empty, written)
        self._quiet = self._quiet + 1 if written[0] == self._model.pad else 0
        self.written.append(written)

    def _word(self, logits: Tensor) -> Tensor:
        if self._quiet >= _QUIET:
            logits = logits.clone()
            logits[:, self._model.epad] += self._eagerness
        return self._choose(logits, self._words)

    def _code(self, logits: Tensor) -> Tensor:
        return self._choose(logits, self._codes)

    def _choose(self, logits: Tensor, sampling: Sampling) -> Tensor:
        from speech_eval.reference_models.speech_lm.sampling import draw_one

        chosen = draw_one(logits[0].float().cpu(), sampling, self._random)
        return self._torch.tensor([chosen], device=self._device)

    def _speak(self) -> Any:
        """The samples of the newest frame whose codes are all written; silence before the first."""
        late = max(self._model.delays.agent)
        frame = len(self.written) - 1 - late
        if frame < 0:
            return np.zeros(self._stream.hop, dtype=np.float32)
        codes = [self.written[frame + begin][1 + book] for book, begin in enumerate(self._model.delays.agent)]
        return self._stream.say(np.array(codes))
