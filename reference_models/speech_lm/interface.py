"""What sampling and reinforcement learning ask of a model that speaks, and what they give back.

A position of a sequence holds one id, or a row of `streams` slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.text.detect import UNKNOWN

STUCK_AFTER = 25  # a step repeated this many times in a row counts as a model that is stuck


class Tokenizer(Protocol):
    """Text and codes to ids, and back."""

    @property
    def streams(self) -> int:
        """Slots per position."""

    @property
    def end(self) -> int:
        """The id that ends speech (in slot 0)."""

    @property
    def context(self) -> int:
        """Positions of the longest sequence that the model reads."""

    @property
    def tokens_per_step(self) -> int:
        """Positions per step of the slowest codebook."""

    def prompt_ids(
        self,
        text: str,
        prompt_text: str | None = None,
        prompt_codes: Sequence[Ints] | None = None,
        language: str = UNKNOWN,
        speaker: str = "",
    ) -> Tensor:
        """Ids [T] or [T, streams] to continue: the name of the speaker where the model reads names, the transcript of
        the voice prompt, the text, then the prompt's codes.

        Raises `BadInput` for an empty text, for a prompt without its transcript (or the reverse), for a text that
        leaves less room than it could be spoken in, and for one in a `language` that the model cannot read.
        """

    def allowed(self, step: int) -> Tensor | None:
        """The ids that may occur at position `step` of the speech (in slot 0); None if all may."""

    def codes(self, ids: Ints) -> list[Ints]:
        """Codes [frames_k] of each codebook from the ids of speech; an unfinished last step is dropped."""


class SpeakingModel(Protocol):
    """A causal transformer whose positions are speech."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Its text and codes as ids."""

    def hidden(self, ids: Tensor, *, cache: Any, attention_mask: Tensor, positions: Tensor) -> Tensor:
        """Hidden states [B, T, width]."""

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of the next id (in slot 0)."""

    def parameters(self) -> Iterator[Any]:
        """The weights."""


@runtime_checkable
class FinishesFrames(Protocol):
    """A model with several slots per position."""

    def finish(self, hidden: Tensor, first: Tensor, before: Tensor, choose: Callable[[Tensor], Tensor]) -> Tensor:
        """Rows [B, streams] from hidden states [B, width], the ids of slot 0 [B] and the rows before [B, streams].
        `choose` draws ids [B] from logits [B, n]."""


@dataclass(frozen=True)
class Utterance:
    """What to say, in the `language` of a tag. A voice prompt is a recording's codes and its transcript; `speaker` is a
    voice by its name."""

    id: str
    text: str
    seed: int = 0
    prompt_text: str | None = None
    prompt_codes: Sequence[Ints] | None = None
    language: str = UNKNOWN
    speaker: str = ""


@dataclass(frozen=True)
class Generation:
    """What a model said: the ids of the speech without its end, their codes, whether it `stopped` by itself before any
    limit, and how many times in a row the most repeated step occurs. `prompt` are the ids before the speech."""

    prompt: Ints
    ids: Ints
    codes: list[Ints]
    stopped: bool
    repeats: int

    @property
    def stuck(self) -> bool:
        return self.repeats >= STUCK_AFTER

    def report(self) -> dict[str, Any]:
        """What the harness stores with the output."""
        return {"stopped": self.stopped, "tokens": len(self.ids), "repeats": self.repeats, "stuck": self.stuck}
