"""Training budgets of modelability. Numbers of two budgets are two metrics and are never compared."""

from __future__ import annotations

from dataclasses import dataclass

from speech_eval.errors import BadInput
from speech_eval.reference_models.training.distributed import Precision


@dataclass(frozen=True)
class Budget:
    """The same for every codec: the data, how often it is read, in which batches, and the language model's shape.

    `train` are datasets of which the first `seconds` are read `passes` times, `batch_seconds` of recordings per update;
    the operations that this takes differ between codecs and are reported. `precision` is that of the layers on a GPU.
    `checkpointing` computes the layers again in the backward pass instead of keeping what they gave. `text` is the
    share of utterances that are read with their text.
    """

    train: tuple[str, ...]
    seconds: float
    passes: int
    batch_seconds: float
    width: int
    layers: int
    heads: int
    feed_forward: int
    positions: int
    learning_rate: float
    precision: Precision = "float32"
    checkpointing: bool = False
    text: float = 0.5
    seed: int = 0
    temperature: float = 0.8


_ASTERISK = tuple(f"asterisk-{language}@train" for language in ("en", "es", "fr", "it", "ru"))
BUDGETS = {
    # One CPU core, minutes: ranks codecs by how predictable their codes are.
    "smoke-2": Budget(_ASTERISK, 3120.0, 2, 6.0, 128, 2, 4, 384, 1024, 2e-3),
    # One H100, 25 minutes for a codec of 200 tokens per second (docs/tasks.md has the arithmetic). The data, 100 hours,
    # come with the option `train`.
    "h100-2": Budget((), 360_000.0, 7, 300.0, 768, 12, 12, 2048, 8192, 6e-4, "bf16", True),
}


def budget(name: str) -> Budget:
    """A budget by name. Raises `BadInput` for an unknown one."""
    if name not in BUDGETS:
        raise BadInput(f"No modelability budget is named '{name}'.", f"Use {' or '.join(BUDGETS)}.")
    return BUDGETS[name]
