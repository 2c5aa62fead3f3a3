"""What GRPO and DPO share: lines to speak, groups of tries, what they are worth, guards by other ears, the loop.

line ──► G tries ──► sound ──► ears: rewards ──► learn (grpo.py, dpo.py)
                               guards: other recognizer, other speaker model, pitch, length, stops ──► log, card
"""

from __future__ import annotations

import copy
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from speech_eval.audio import Audio, leading_silence
from speech_eval.engine.generate.strategy import sample_seed
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.metrics.codec.pitch import f0
from speech_eval.progress import Progress, silent
from speech_eval.reference_models.codec.config import Section
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.rl.rewards import Reward, character_error_rate, composite
from speech_eval.reference_models.speech_lm.rl.verifiers import Ear, Listener
from speech_eval.reference_models.speech_lm.sampling import Sampling, Spoken, Utterance, speak
from speech_eval.reference_models.tts.model import SpeechLM


class AlignmentConfig(Section):
    """How a speaking model is aligned. A recipe gives it under `training`.

    `start` is a checkpoint directory, the name of a shipped one, or a recipe and its size: `tts/llasa@smoke`. A step
    draws `texts_per_step` of `texts` lines and `group` tries of each, at `temperature` and up to `max_seconds`; what
    was cut off teaches nothing.
    `rewards` are weights by name (`cer`, `nll`, `sim`, `duration`, `mos`), joined by `form`; `ears` take them.
    `beta` holds the model to its start; `clip` is GRPO's bound of the ratio, below and above; `scale` divides its
    advantages by the group's deviation. `voices` speaks every line in the voice of a recording. `guards` listen every
    `guard_every` steps to `guard_texts` lines that are not trained on, and must be other models than the ears.
    """

    method: Literal["grpo", "dpo"]
    start: str
    steps: PositiveInt
    texts: PositiveInt = 2000
    texts_per_step: PositiveInt = 4
    group: Annotated[int, Field(ge=2)] = 8
    updates: PositiveInt = 1
    learning_rate: PositiveFloat = 1e-6
    clip_norm: PositiveFloat = 1.0
    beta: NonNegativeFloat = 0.1
    clip: tuple[PositiveFloat, PositiveFloat] = (0.2, 0.2)
    scale: bool = True
    temperature: PositiveFloat = 1.0
    max_seconds: PositiveFloat = 10.0
    rewards: dict[str, PositiveFloat] = Field(default={"cer": 1.0})
    form: Literal["mean", "harmonic"] = "mean"
    voices: bool = False
    ears: Listener = Listener()
    guards: Listener | None = None
    guard_every: PositiveInt = 50
    guard_texts: PositiveInt = 16
    micro_batch: PositiveInt = 8
    save_every: PositiveInt = 50
    seed: int = 0

    @model_validator(mode="after")
    def _fits(self) -> AlignmentConfig:
        takes = {
            "cer": self.ears.recognizer,
            "nll": self.ears.likelihood,
            "sim": self.ears.speaker and self.voices,
            "mos": self.ears.opinion,
            "duration": True,
        }
        lacking = [name for name in self.rewards if not takes.get(name)]
        if lacking:
            raise ValueError(f"rewards: no ear takes {lacking} (sim needs ears.speaker and voices)")
        for part in ("recognizer", "speaker"):
            guard, ear = (getattr(listener, part) or "" for listener in (self.guards or Listener(None), self.ears))
            if guard and guard.partition(",")[0] == ear.partition(",")[0]:  # with whatever options
                raise ValueError(f"guards.{part}: {guard} is rewarded already; a guard must be another model")
        return self


@dataclass(frozen=True)
class Line:
    """A text to speak; in the voice of a recording where there is a prompt."""

    id: str
    text: str
    language: str = "en"
    prompt_text: str | None = None
    prompt: Audio | None = None
    prompt_codes: Sequence[Ints] | None = None


@dataclass(frozen=True)
class Try:
    """One try at a line, and what it was worth by each reward and altogether."""

    line: Line
    spoken: Spoken
    taken: dict[str, Reward]
    worth: Reward


Judge = Callable[[Line, Spoken], dict[str, Reward]]
Guard = Callable[[Any], dict[str, float]]


@dataclass
class History:
    """What a run has been through; saved with its state."""

    step: int = 0
    seconds: float = 0.0
    guards: list[dict[str, float]] = field(default_factory=list)


class Aligner(ABC):
    """The loop. `learn` is the method's own. The same state and seed give the same run, interrupted or not."""

    def __init__(
        self,
        model: SpeechLM,
        lines: Sequence[Line],
        judge: Judge,
        config: AlignmentConfig,
        *,
        sampling: Sampling,
        guard: Guard | None = None,
    ) -> None:
        if not isinstance(model, SpeechLM):
            raise BadInput("Only single-stream layouts (flat, interleaved) are aligned.", "Start from such a model.")
        if len(lines) < config.texts_per_step:
            raise BadInput(
                f"{len(lines)} lines are fewer than a step takes.", "Prepare more data, or lower texts_per_step."
            )
        self.model, self.lines, self.judge, self.config = model, list(lines), judge, config
        self.sampling, self.guard = sampling, guard
        self.start = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), config.learning_rate, betas=(0.9, 0.95), weight_decay=0.0
        )
        self.history = History()

    @abstractmethod
    def learn(self, groups: Sequence[Sequence[Try]]) -> dict[str, float]:
        """Change the model by what the groups [texts_per_step][group] were worth; numbers for the log."""

    def run(
        self,
        stop_at: int | None = None,
        log: Callable[[dict[str, float]], None] = lambda row: None,
        save: Callable[[], None] = lambda: None,
        progress: Progress = silent,
    ) -> None:
        """Steps up to the configured number, or up to `stop_at`."""
        last = min(self.config.steps, stop_at or self.config.steps)
        while self.history.step < last:
            started = time.monotonic()
            if self.history.step % self.config.guard_every == 0:
                self._listen()
            log(self.step(self.history.step))
            self.history.step += 1
            self.history.seconds += time.monotonic() - started
            if self.history.step == self.config.steps:
                self._listen()
            if self.history.step % self.config.save_every == 0 or self.history.step == last:
                save()
            progress("align", self.history.step, self.config.steps)

    def step(self, number: int) -> dict[str, float]:
        """Draw, judge, learn; a row of the log."""
        groups = self.tries(number)
        flat = [item for group in groups for item in group]
        row = {
            "step": float(number),
            "reward": _mean([item.worth.value for item in flat]),
            "valid": _mean([item.worth.valid for item in flat]),
            "stopped": _mean([item.spoken.stopped for item in flat]),
            "tokens": _mean([len(item.spoken.ids) for item in flat]),
            **{f"reward_{name}": _mean([item.taken[name].value for item in flat]) for name in flat[0].taken},
        }
        return row | self.learn(groups)

    def tries(self, number: int) -> list[list[Try]]:
        """The groups of a step: the same for the same step, seed and model."""
        drawn = random.Random(f"{self.config.seed}/{number}").sample(self.lines, self.config.texts_per_step)
        asked = [
            Utterance(
                line.id,
                line.text,
                sample_seed(self.config.seed, f"align-{number}", f"{line.id}/{i}"),
                line.prompt_text,
                line.prompt_codes,
            )
            for line in drawn
            for i in range(self.config.group)
        ]
        spoken = speak(self.model, asked, self.sampling)
        groups = []
        for i, line in enumerate(drawn):
            own = spoken[i * self.config.group : (i + 1) * self.config.group]
            taken = [self.judge(line, item) for item in own]
            worth = [composite(each, self.config.rewards, self.config.form) for each in taken]
            groups.append([Try(line, *item) for item in zip(own, taken, worth, strict=True)])
        return groups

    def update(self) -> float:
        """One step of the optimizer; the norm of the gradient. Raises `SpeechEvalError` where that is not a number."""
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm))
        if not np.isfinite(norm):
            raise SpeechEvalError(f"Step {self.history.step}: the gradient is not finite.", "Lower learning_rate.")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def micro_batches(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        size = self.config.micro_batch
        return [items[i : i + size] for i in range(0, len(items), size)]

    def _listen(self) -> None:
        if self.guard is not None:
            self.history.guards.append({"step": float(self.history.step), **self.guard(self.model)})


def log_probs(model: SpeechLM, spoken: Sequence[Spoken], temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities [B, T] of what was drawn, the end included, as `speak` drew it at `temperature`, and where they
    are ones of a try and no padding [B, T]."""
    device = next(model.parameters()).device
    tails = [np.append(item.ids, model.end) if item.stopped else item.ids for item in spoken]
    whole = [torch.from_numpy(np.concatenate([item.prompt, tail])) for item, tail in zip(spoken, tails, strict=True)]
    ids = torch.nn.utils.rnn.pad_sequence(whole, batch_first=True).to(device)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in whole], batch_first=True).to(device)
    places = torch.arange(ids.shape[1], device=device).expand_as(ids)
    hidden = model.hidden(ids[:, :-1], attention_mask=mask[:, :-1], positions=places[:, :-1])
    longest = max(len(tail) for tail in tails)
    drawn = torch.zeros(len(spoken), longest, dtype=torch.bool, device=device)
    states = hidden.new_zeros(len(spoken), longest, hidden.shape[-1])
    said = torch.zeros(len(spoken), longest, dtype=torch.long, device=device)
    for row, (item, tail) in enumerate(zip(spoken, tails, strict=True)):
        start = len(item.prompt) - 1
        states[row, : len(tail)] = hidden[row, start : start + len(tail)]
        said[row, : len(tail)] = ids[row, start + 1 : start + 1 + len(tail)]
        drawn[row, : len(tail)] = True
    logits = model.head(states).float() / temperature
    banned = torch.ones(longest, logits.shape[-1], dtype=torch.bool, device=device)
    for step in range(longest):
        banned[step, model.allowed(step).to(device)] = False
    chosen = logits.masked_fill(banned, -torch.inf).log_softmax(-1).gather(2, said[..., None])[..., 0]
    return chosen.masked_fill(~drawn, 0.0), drawn


def judge_by_ear(codec: SpeechCodec, ear: Ear) -> Judge:
    """Rewards of what a try sounds like."""
    return lambda line, spoken: ear.judge(line.text, codec.decode(spoken.codes), line.prompt, line.language)


def guard_by_ear(codec: SpeechCodec, ear: Ear, lines: Sequence[Line], sampling: Sampling, seed: int) -> Guard:
    """What other models hear of fixed lines under fixed seeds: `cer` (1 where nothing was heard), `sim` (0 there),
    `pitch_semitones`, the spread of F0 within a line, `seconds`, `stopped`, `repeats`."""

    def listen(model: Any) -> dict[str, float]:
        asked = [
            Utterance(line.id, line.text, sample_seed(seed, "guard", line.id), line.prompt_text, line.prompt_codes)
            for line in lines
        ]
        spoken = speak(model, asked, sampling)
        sounds = [codec.decode(item.codes) for item in spoken]
        errors, voices = [], []
        for line, sound in zip(lines, sounds, strict=True):
            if ear.listener.speaker is not None and line.prompt is not None:
                voices.append(ear.likeness(sound, line.prompt).value)
            if ear.listener.recognizer is not None:
                cer = character_error_rate(line.text, ear.transcript(sound, line.language), line.language)
                errors.append(1.0 if cer is None else cer)
        spreads = [spread for spread in map(pitch_spread, sounds) if spread is not None]
        return {
            **({"cer": _mean(errors)} if errors else {}),
            **({"sim": _mean(voices)} if voices else {}),
            **({"pitch_semitones": _mean(spreads)} if spreads else {}),
            "voiced": float(len(spreads)),
            "seconds": _mean([sound.seconds for sound in sounds]),
            "stopped": _mean([item.stopped for item in spoken]),
            "repeats": _mean([item.repeats for item in spoken]),
        }

    return listen


def pitch_spread(audio: Audio) -> float | None:
    """Standard deviation of F0 in semitones; None for less than 10 voiced frames of 10 ms."""
    if len(audio.samples) == 0 or leading_silence(audio) is None:
        return None
    found = f0(audio.resampled(16_000).samples)
    voiced = found[np.isfinite(found)]
    return float(np.std(12.0 * np.log2(voiced))) if len(voiced) >= 10 else None


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0
