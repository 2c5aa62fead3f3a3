"""Low-rank adaptation of the LLM, gated by audio as in Granite Speech: rows without audio get the base LLM's numbers.

y = W x + [audio in the row] · (alpha / rank) · B A x        B starts at zero
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.errors import BadInput


class Gate:
    """Whether the adaptation acts: on every row, on none, or on the rows [B] that `open` names."""

    def __init__(self, always: bool) -> None:
        self.always = always
        self.rows: Tensor | None = None  # None: on no row
        self.shut = False

    @contextmanager
    def open(self, rows: Tensor) -> Iterator[None]:
        """The rows [B] that hold audio, while the LLM runs. Without `always`, the others are left to the base LLM."""
        before, self.rows = self.rows, None if self.shut else torch.ones_like(rows) if self.always else rows
        try:
            yield
        finally:
            self.rows = before

    @contextmanager
    def kept_shut(self) -> Iterator[None]:
        """The base LLM, whatever the rows hold."""
        before, self.shut = self.shut, True
        try:
            yield
        finally:
            self.shut = before


class LoRALinear(nn.Module):
    """A frozen linear layer and its low-rank addition."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, gate: Gate) -> None:
        super().__init__()
        self.base, self.gate, self.scale = base, gate, alpha / rank
        self.down = nn.Parameter(torch.randn(rank, base.in_features) / rank**0.5 / base.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x)
        rows = self.gate.rows
        if rows is None or not bool(rows.any()):
            return y
        added = F.linear(F.linear(x, self.down), self.up) * self.scale
        if bool(rows.all()):
            return y + added
        return torch.where(rows.reshape(-1, *[1] * (y.dim() - 1)), y + added, y)


def add_lora(llm: nn.Module, targets: Sequence[str], rank: int, alpha: float, gate: Gate) -> int:
    """Put a LoRA beside every linear layer whose name is one of `targets`; returns how many. Raises `BadInput` if there
    is none: an adaptation that is not applied must not look like one that is."""
    found = [
        (parent, name, layer)
        for parent in llm.modules()
        for name, layer in parent.named_children()
        if name in targets and isinstance(layer, nn.Linear)
    ]
    if not found:
        raise BadInput(f"The LLM has no linear layer named {' or '.join(targets)}.", "Correct model.adapt.targets.")
    for parent, name, layer in found:
        setattr(parent, name, LoRALinear(layer, rank, alpha, gate))
    return len(found)
