"""Train the token LM on a codec's codes under a budget, and measure held-out bits."""

from __future__ import annotations

import math
import sys
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
from speech_eval.reference_models.training.log import RunLog
from speech_eval.reference_models.training.loop import Loop, adamw, update


@dataclass(frozen=True)
class Utterance:
    """One training item: its text, its codes and its length."""

    text: str
    codes: list[Ints]
    seconds: float


@dataclass(frozen=True)
class Spent:
    """What training cost: seconds of audio read, FLOPs, optimizer steps, and the limit that ended it."""

    audio_seconds: float
    flops: float
    steps: int
    stopped_by: str


def new_model(sequences: Sequences, budget: Budget) -> CodeLM:
    """A model with the budget's shape and seed."""
    torch.manual_seed(budget.seed)
    shape = (budget.width, budget.layers, budget.heads, budget.feed_forward, budget.positions)
    return CodeLM(CodeLMConfig(sequences.vocabularies, sequences.choices, *shape))


def train(
    model: CodeLM,
    sequences: Sequences,
    corpus: Sequence[Utterance],
    budget: Budget,
    progress: Progress,
) -> Spent:
    """Next-token training until the budget is spent. Deterministic: batches, dropped texts and weights follow the seed.

    Raises `SpeechEvalError` if the loss is not finite.
    """
    device, per_step = next(model.parameters()).device, model.flops_per_step()
    config = _optimizer(budget)
    optimizer = adamw(model, config)
    audio_seconds = flops = 0.0
    loop = Loop(
        RunConfig(steps=sys.maxsize),
        Path(),
        RunLog(),
        name="codec-modelability",
        share=lambda: max(audio_seconds / budget.audio_seconds, flops / budget.flops),
    )
    model.train()
    for number, (tokens, targets, seconds) in loop.steps(lambda start, stop: _batches(sequences, corpus, budget)):
        nats = model.nll(tokens.to(device), targets.to(device))
        loss = nats.sum() / (targets != IGNORE).sum().to(device)
        if not torch.isfinite(loss):
            raise SpeechEvalError(f"Step {number}: the loss of the token LM is {loss.item()}.", "Report this codec.")
        optimizer.zero_grad()
        loss.backward()
        update(optimizer, model.parameters(), config, config.rate_at(number, loop.done()))
        audio_seconds += seconds
        flops += per_step * tokens[:, 0].numel()
        loop.record({})
        progress("codec-modelability: train", min(int(100 * loop.done()), 100), 100)
    stopped_by = "audio seconds" if audio_seconds >= budget.audio_seconds else "FLOPs"
    return Spent(audio_seconds, flops, loop.log.step, stopped_by)


def _optimizer(budget: Budget) -> OptimizerConfig:
    return OptimizerConfig(
        learning_rate=budget.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=0.1,
        warmup_steps=20,
        schedule="cosine",
        final_share=0.1,
        clip_norm=1.0,
    )


def bits(model: CodeLM, sequences: Sequences, text: str, codes: Sequence[Ints]) -> float:
    """Bits the model needs for the codes and their end, after reading `text` ('' for none).

    Speech longer than the model's positions is read in windows, each without the ones before it.
    """
    model.eval()
    tokens, targets = sequences.targets(text, codes)
    device, total = next(model.parameters()).device, 0.0
    with torch.inference_mode():
        for start in range(0, tokens.shape[1], model.config.positions):
            window = slice(start, start + model.config.positions)
            pair = (torch.from_numpy(np.ascontiguousarray(part[:, window]))[None] for part in (tokens, targets))
            total += float(model.nll(*(part.to(device) for part in pair)).double().sum())
    return total / math.log(2)


def _batches(
    sequences: Sequences, corpus: Sequence[Utterance], budget: Budget
) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Tokens, targets and seconds of speech of endless passes over the corpus: utterances of similar length together,
    batches in a new order in each pass."""
    random = np.random.default_rng(budget.seed)
    while True:
        read = random.random(len(corpus)) < budget.text
        pairs = [
            sequences.targets(item.text if keep else "", item.codes) for item, keep in zip(corpus, read, strict=True)
        ]
        pairs = [(tokens[:, : budget.positions], targets[:, : budget.positions]) for tokens, targets in pairs]
        order = sorted(range(len(pairs)), key=lambda i: (pairs[i][0].shape[1], i))
        groups: list[list[int]] = [[]]
        for i in order:
            if groups[-1] and (len(groups[-1]) + 1) * pairs[i][0].shape[1] > budget.batch_positions:
                groups.append([])
            groups[-1].append(i)
        for g in random.permutation(len(groups)):
            chosen = [pairs[i] for i in groups[g]]
            yield *_pad(chosen), sum(corpus[i].seconds for i in groups[g])


def _pad(pairs: Sequence[tuple[Ints, Ints]]) -> tuple[Tensor, Tensor]:
    """Tokens and targets [B, S, T] of unequal lengths, padded at the end, where no other position sees it."""
    longest = max(tokens.shape[1] for tokens, _ in pairs)
    tokens = [np.pad(t, ((0, 0), (0, longest - t.shape[1]))) for t, _ in pairs]
    targets = [np.pad(t, ((0, 0), (0, longest - t.shape[1])), constant_values=IGNORE) for _, t in pairs]
    return torch.from_numpy(np.stack(tokens)), torch.from_numpy(np.stack(targets))
