"""Rollouts of a speaking model: lines to speak, groups of candidates with their rewards, and their probabilities."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from speech_eval.audio import Audio
from speech_eval.engine.generate.strategy import sample_seed
from speech_eval.reference_models.speech_lm.interface import Generation, SpeakingModel, Utterance
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.rl.config import AlignmentConfig
from speech_eval.reference_models.speech_lm.rl.rewards import Reward, composite
from speech_eval.reference_models.speech_lm.sampling import Sampling, generate


@dataclass(frozen=True)
class Line:
    """A text to speak, in the voice of a recording if there is a prompt, or of a `speaker` by name."""

    id: str
    text: str
    language: str = "en"
    prompt_text: str | None = None
    prompt: Audio | None = None
    prompt_codes: Sequence[Ints] | None = None
    speaker: str = ""


@dataclass(frozen=True)
class Rollout:
    """One candidate for a line, its rewards by name, and the joined one."""

    line: Line
    generation: Generation
    rewards: dict[str, Reward]
    reward: Reward


Item = TypeVar("Item")
RewardFunction = Callable[[Line, Generation], dict[str, Reward]]


def drawn(
    items: Sequence[Item], config: AlignmentConfig, step: int, process: int = 0, processes: int = 1
) -> list[Item]:
    """The texts of a step, those of one of several processes that share them: the same for the same step and seed."""
    each = config.texts_per_step
    chosen = random.Random(f"{config.seed}/{step}").sample(list(items), each * processes)
    return chosen[process * each : (process + 1) * each]


def rollouts(
    model: SpeakingModel,
    lines: Sequence[Line],
    reward: RewardFunction,
    config: AlignmentConfig,
    sampling: Sampling,
    step: int,
) -> list[list[Rollout]]:
    """The groups [lines][group] of a step: the same for the same lines, step, seed and model."""
    asked = [
        Utterance(
            line.id,
            line.text,
            sample_seed(config.seed, f"align-{step}", f"{line.id}/{i}"),
            line.prompt_text,
            line.prompt_codes,
            line.language,
            line.speaker,
        )
        for line in lines
        for i in range(config.group)
    ]
    generations = generate(model, asked, sampling)
    groups = []
    for i, line in enumerate(lines):
        own = generations[i * config.group : (i + 1) * config.group]
        measured = [reward(line, item) for item in own]
        joined = [composite(each, config.rewards, config.form) for each in measured]
        groups.append([Rollout(line, *item) for item in zip(own, measured, joined, strict=True)])
    return groups


def log_probs(model: SpeakingModel, generations: Sequence[Generation], temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities [B, T] of the generated ids, the end included, as `generate` drew them at `temperature`, and a
    mask [B, T] that is false in padding. For models of one stream."""
    tokenizer, device = model.tokenizer, next(model.parameters()).device
    tails = [np.append(item.ids, tokenizer.end) if item.stopped else item.ids for item in generations]
    whole = [
        torch.from_numpy(np.concatenate([item.prompt, tail])) for item, tail in zip(generations, tails, strict=True)
    ]
    ids = torch.nn.utils.rnn.pad_sequence(whole, batch_first=True).to(device)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in whole], batch_first=True).to(device)
    places = torch.arange(ids.shape[1], device=device).expand_as(ids)
    hidden = model.hidden(ids[:, :-1], cache=None, attention_mask=mask[:, :-1], positions=places[:, :-1])
    longest = max(len(tail) for tail in tails)
    drawn = torch.zeros(len(tails), longest, dtype=torch.bool, device=device)
    states = hidden.new_zeros(len(tails), longest, hidden.shape[-1])
    said = torch.zeros(len(tails), longest, dtype=torch.long, device=device)
    for row, (item, tail) in enumerate(zip(generations, tails, strict=True)):
        start = len(item.prompt) - 1
        states[row, : len(tail)] = hidden[row, start : start + len(tail)]
        said[row, : len(tail)] = ids[row, start + 1 : start + 1 + len(tail)]
        drawn[row, : len(tail)] = True
    logits = model.head(states).float() / temperature
    banned = torch.zeros(longest, logits.shape[-1], dtype=torch.bool, device=device)
    for step in range(longest):
        allowed = tokenizer.allowed(step)
        if allowed is not None:
            banned[step] = True
            banned[step, allowed.to(device)] = False
    chosen = logits.masked_fill(banned, -torch.inf).log_softmax(-1).gather(2, said[..., None])[..., 0]
    return chosen.masked_fill(~drawn, 0.0), drawn
