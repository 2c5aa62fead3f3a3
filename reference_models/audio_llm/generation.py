"""Answers token by token, several rows at a time, each as it would be alone; keys and values are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from speech_eval.errors import BadInput
from speech_eval.reference_models.audio_llm.model import AudioLLM, Example, Rows


@dataclass(frozen=True)
class Decoding:
    """Greedy at `temperature` 0; else sampled from the `top_p` of the probability. `most` tokens at most."""

    most: int
    temperature: float = 0.0
    top_p: float = 1.0


@torch.no_grad()
def steps(
    model: AudioLLM, examples: Sequence[Example], decoding: Decoding, seeds: Sequence[int]
) -> Iterator[list[int | None]]:
    """The next token of each row, None for a row that has ended. Raises `BadInput` for a conversation that leaves no
    room for an answer."""
    if decoding.most < 1:
        raise BadInput(f"{examples[0].id}: an answer of {decoding.most} tokens.", "Give max_new_tokens of 1 or more.")
    rows = model.rows(examples)
    lengths = rows.mask.sum(1)
    before = len(model.prompter.prefix) if rows.examples else 0
    most = decoding.most
    if model.text.positions is not None:
        most = min(most, model.text.positions - before - int(lengths.max()))
    if most < 1:
        raise BadInput(
            f"{examples[int(lengths.argmax())].id}: {before + int(lengths.max())} positions leave no room for an "
            f"answer in the {model.text.positions} of the LLM.",
            "Shorten the recording or the conversation.",
        )
    device = rows.embeddings.device
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    cache = model.cache(len(examples)) if rows.examples else model.empty_cache()
    logits = model.run(rows, cache)[torch.arange(len(examples), device=device), lengths - 1]
    mask, places, ended = rows.mask, before + lengths, [False] * len(examples)
    for _ in range(most):
        chosen = [_choose(row, decoding, draw) for row, draw in zip(logits, draws, strict=True)]
        ended = [done or token in model.text.ends for done, token in zip(ended, chosen, strict=True)]
        yield [None if done else token for done, token in zip(ended, chosen, strict=True)]
        if all(ended):
            return
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        new = Rows(model.embed(chosen)[:, None], mask[:, -1:], rows.labels, rows.audio, rows.examples)
        logits = model.run(new, cache, seen=mask, places=places[:, None])[:, 0]
        places = places + 1


def generate(
    model: AudioLLM, examples: Sequence[Example], decoding: Decoding, seeds: Sequence[int] | None = None
) -> list[list[int]]:
    """Token ids of each answer, without the one that ends it."""
    found: list[list[int]] = [[] for _ in examples]
    for tokens in steps(model, examples, decoding, seeds or [0] * len(examples)):
        for row, token in zip(found, tokens, strict=True):
            if token is not None:
                row.append(token)
    return found


def _choose(logits: Tensor, decoding: Decoding, draw: torch.Generator) -> int:
    if decoding.temperature == 0:
        return int(logits.argmax())
    chances, order = (logits.float().cpu() / decoding.temperature).softmax(-1).sort(descending=True)
    kept = chances.cumsum(0) - chances < decoding.top_p
    return int(order[torch.multinomial(chances * kept, 1, generator=draw)])
