"""Train the token LM on a codec's codes under a budget, and measure held-out bits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speech_eval.errors import SpeechEvalError
from speech_eval.progress import Progress
from speech_eval.reference_models.modelability.budget import Budget
from speech_eval.reference_models.modelability.model import CodeLM, CodeLMConfig
from speech_eval.reference_models.modelability.sequences import Sequences
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.tokenizer import IGNORE
from speech_eval.reference_models.training.config import OptimizerConfig, RunConfig
from speech_eval.reference_models.training.distributed import autocast
from speech_eval.reference_models.training.log import RunLog
from speech_eval.reference_models.training.loop import Loop, adamw, update

Pair = tuple[Ints, Ints]  # tokens and targets [S, T]


@dataclass(frozen=True)
class Utterance:
    """One training item: its text, the words of its codes (lexicon.py), and its length."""

    text: str
    codes: list[Ints]
    seconds: float


@dataclass(frozen=True)
class Spent:
    """What training cost: seconds of audio read, FLOPs, optimizer steps."""

    audio_seconds: float
    flops: float
    steps: int


def new_model(sequences: Sequences, budget: Budget) -> CodeLM:
    """A model with the budget's shape and seed."""
    torch.manual_seed(budget.seed)
    shape = (budget.width, budget.layers, budget.heads, budget.feed_forward, budget.positions)
    return CodeLM(CodeLMConfig(sequences.vocabularies, sequences.choices, *shape), budget.checkpointing)


def train(
    model: CodeLM,
    sequences: Sequences,
    corpus: Sequence[Utterance],
    budget: Budget,
    progress: Progress,
) -> Spent:
    """Next-token training on `budget.passes` passes over the corpus. The recordings of each batch are the same for
    every codec. Deterministic: batches, dropped texts and weights follow the seed.

    Raises `SpeechEvalError` if the loss is not finite.
    """
    device, per_position = next(model.parameters()).device, model.flops_per_step()
    precision = budget.precision if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    groups = _groups(corpus, budget.batch_seconds)
    steps = budget.passes * len(groups)
    config = _optimizer(budget, steps)
    optimizer = adamw(model, config)
    audio_seconds = flops = 0.0
    loop = Loop(RunConfig(steps=steps), Path(), RunLog(), name="codec-modelability")
    model.train()
    batches = _batches(sequences, corpus, groups, budget)
    for number, (tokens, targets, seconds) in loop.steps(lambda start, stop: batches):
        with autocast(device, precision):
            nats = model.nll(tokens.to(device), targets.to(device))
        loss = nats.sum() / (targets != IGNORE).sum().to(device)
        if not torch.isfinite(loss):
            raise SpeechEvalError(f"Step {number}: the loss of the token LM is {loss.item()}.", "Report this codec.")
        optimizer.zero_grad()
        loss.backward()
        update(optimizer, model.parameters(), config, config.rate_at(number, loop.done()))
        audio_seconds += seconds
        flops += per_position * tokens[:, 0].numel()
        loop.record({})
        progress("codec-modelability: train", int(100 * loop.done()), 100)
    return Spent(audio_seconds, flops, loop.log.step)


def _optimizer(budget: Budget, steps: int) -> OptimizerConfig:
    return OptimizerConfig(
        learning_rate=budget.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=0.1,
        warmup_steps=max(20, steps // 50),
        schedule="cosine",
        final_share=0.1,
        clip_norm=1.0,
    )


def bits(model: CodeLM, sequences: Sequences, text: str, codes: Sequence[Ints]) -> float:
    """Bits the model needs for the words of the codes and their end, after reading `text` ('' for none), in float32.

    Speech longer than the model's positions is read in windows, each without the ones before it.
    """
    model.eval()
    device, total = next(model.parameters()).device, 0.0
    with torch.inference_mode():
        for pair in _windows(sequences.targets(text, codes), model.config.positions):
            total += float(model.nll(*(part.to(device) for part in _pad([pair]))).double().sum())
    return total / math.log(2)


def _groups(corpus: Sequence[Utterance], batch_seconds: float) -> list[list[int]]:
    """Batches of recordings of similar length, at most `batch_seconds` after padding, or one recording."""
    groups: list[list[int]] = [[]]
    for i in sorted(range(len(corpus)), key=lambda i: (corpus[i].seconds, i)):
        if groups[-1] and (len(groups[-1]) + 1) * corpus[i].seconds > batch_seconds:
            groups.append([])
        groups[-1].append(i)
    return groups


def _batches(
    sequences: Sequences, corpus: Sequence[Utterance], groups: Sequence[Sequence[int]], budget: Budget
) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Tokens, targets and seconds of speech of all passes; in each, batches come in a new order, and other utterances
    with their texts."""
    random = np.random.default_rng(budget.seed)
    for _ in range(budget.passes):
        read = random.random(len(corpus)) < budget.text
        for g in random.permutation(len(groups)):
            pairs: list[Pair] = []
            for i in groups[g]:
                targets = sequences.targets(corpus[i].text if read[i] else "", corpus[i].codes)
                pairs += _windows(targets, budget.positions)
            yield *_pad(pairs), sum(corpus[i].seconds for i in groups[g])


def _windows(pair: Pair, length: int) -> list[Pair]:
    """Tokens and targets in parts of at most `length` positions."""
    tokens, targets = pair
    return [(tokens[:, at : at + length], targets[:, at : at + length]) for at in range(0, tokens.shape[1], length)]


def _pad(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """Tokens and targets [B, S, T] of unequal lengths, padded at the end, where no other position sees it."""
    longest = max(tokens.shape[1] for tokens, _ in pairs)
    tokens = [np.pad(t, ((0, 0), (0, longest - t.shape[1]))) for t, _ in pairs]
    targets = [np.pad(t, ((0, 0), (0, longest - t.shape[1])), constant_values=IGNORE) for _, t in pairs]
    return torch.from_numpy(np.stack(tokens)), torch.from_numpy(np.stack(targets))
