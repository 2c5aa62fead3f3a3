"""Training budgets of modelability. Numbers of two budgets are two metrics and are never compared."""

from __future__ import annotations

from dataclasses import dataclass

from speech_eval.errors import BadInput


@dataclass(frozen=True)
class Budget:
    """The same for every codec: the language model's shape, the data, and when training stops.

    Training ends after `audio_seconds` of speech or `flops`, whichever comes first; the result says which, and both
    counts. `batch_positions` is the size of a batch, `text` the share of utterances that are read with their text.
    """

    train: tuple[str, ...]
    audio_seconds: float
    flops: float
    width: int
    layers: int
    heads: int
    feed_forward: int
    positions: int
    batch_positions: int
    learning_rate: float
    text: float = 0.5
    seed: int = 0
    temperature: float = 0.8


_ASTERISK = tuple(f"asterisk-{language}@train" for language in ("en", "es", "fr", "it", "ru"))
BUDGETS = {
    # Two CPU cores, minutes: ranks codecs by how predictable their codes are; its speech is not intelligible.
    "smoke-1": Budget(_ASTERISK, 3600.0, 6e12, 192, 4, 4, 512, 4096, 1024, 2e-3),
    # One H100, about half an hour per codec, on a hundred hours or more given with the option `train`.
    "h100-1": Budget(_ASTERISK, 3.6e6, 4e18, 1024, 16, 16, 4096, 8192, 65_536, 3e-4),
}


def budget(name: str) -> Budget:
    """A budget by name. Raises `BadInput` for an unknown one."""
    if name not in BUDGETS:
        raise BadInput(f"No modelability budget is named '{name}'.", f"Use {' or '.join(BUDGETS)}.")
    return BUDGETS[name]
