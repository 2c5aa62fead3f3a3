"""Layers computed again in the backward pass instead of kept (gradient checkpointing)."""

from __future__ import annotations

from typing import Any


def recompute_layers(model: Any) -> None:
    """Turn it on in a model of transformers."""
    named = "activation_checkpointing_enable"  # since 5.23; the older name is deprecated
    enable = getattr(model, named) if hasattr(model, named) else model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
