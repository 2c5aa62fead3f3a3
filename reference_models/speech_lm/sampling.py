"""Let a language model over codec codes speak: batched, cached, seeded a request, in one go or as a stream.

What is asked of a model is `Speaker`; `model.SpeechLM` and the public checkpoints of `public` are such.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.reference_models.speech_lm.layouts import Ints

REPEATS = 25  # a frame this many times in a row is a model that got stuck


class Speaker(Protocol):
    """What a model offers that can be let speak. Its positions hold one id, or a row of `streams` slots."""

    @property
    def streams(self) -> int:
        """Slots of a position."""

    @property
    def end(self) -> int:
        """The id that ends speech (in slot 0)."""

    @property
    def context(self) -> int:
        """The longest sequence it reads."""

    @property
    def tokens_per_step(self) -> int:
        """Positions of a step of the slowest codebook."""

    def prompt_ids(
        self, text: str, prompt_text: str | None = None, prompt_codes: Sequence[Ints] | None = None
    ) -> Tensor:
        """Ids [T] or [T, streams] to go on from: the prompt's words and the text, then the prompt's codes."""

    def allowed(self, step: int) -> Tensor | None:
        """The ids that may stand at this position of the speech; None where all may."""

    def codes(self, ids: Ints) -> list[Ints]:
        """Codes of each codebook from speech ids; an unfinished step at their end is left out."""

    def hidden(self, ids: Tensor, *, cache: Any, attention_mask: Tensor, positions: Tensor) -> Tensor:
        """Hidden states [B, T, width]."""

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of the next id (in slot 0)."""

    def parameters(self) -> Iterator[Any]:
        """The weights."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. `temperature` 0 takes the likeliest; `top_k` 0 and `top_p` 1 keep all;
    `repetition_penalty` divides the odds of what was drawn in the last `repetition_window` tokens; `max_tokens` bounds
    the speech, which the model's context bounds in any case."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    repetition_window: int = 64
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        wrong = [
            f"{name}={getattr(self, name)}"
            for name, ok in (
                ("temperature", self.temperature >= 0.0),
                ("top_p", 0.0 < self.top_p <= 1.0),
                ("top_k", self.top_k >= 0),
                ("repetition_penalty", self.repetition_penalty >= 1.0),
                ("repetition_window", self.repetition_window >= 1),
                ("max_tokens", self.max_tokens is None or self.max_tokens >= 1),
            )
            if not ok
        ]
        if wrong:
            raise BadInput(
                f"No sampling is {', '.join(wrong)}.",
                "Use temperature ≥ 0, 0 < top_p ≤ 1, top_k ≥ 0, repetition_penalty ≥ 1, max_tokens ≥ 1.",
            )


@dataclass(frozen=True)
class Utterance:
    """What is to be said. A prompt is both what a voice said, as `prompt_codes`, and the words it said; they may be of
    another language than `text`."""

    id: str
    text: str
    seed: int = 0
    prompt_text: str | None = None
    prompt_codes: Sequence[Ints] | None = None


@dataclass(frozen=True)
class Spoken:
    """Speech tokens (without the end), their codes, and whether the model `stopped` by itself, before any limit.
    `repeats`: how often the most repeated step stands in a row; `prompt` ids came before."""

    prompt: Ints
    ids: Ints
    codes: list[Ints]
    stopped: bool
    repeats: int

    @property
    def stuck(self) -> bool:
        return self.repeats >= REPEATS

    def report(self) -> dict[str, Any]:
        """What the harness keeps with the output."""
        return {"stopped": self.stopped, "tokens": len(self.ids), "repeats": self.repeats, "stuck": self.stuck}


def speak(model: Speaker, utterances: Sequence[Utterance], sampling: Sampling) -> list[Spoken]:
    """One `Spoken` an utterance, the same whatever else is in the batch. Raises `BadInput` for an utterance that cannot
    be asked (empty, too long, a prompt in halves) and `SpeechEvalError` where the model computes NaN."""
    known: dict[Any, Tensor] = {}
    for utterance in utterances:  # several tries of one text are read once
        key = _asked(utterance)
        if key not in known:
            known[key] = prompt_of(model, utterance)
    prompts = [known[_asked(utterance)] for utterance in utterances]
    said: list[list[list[int]]] = [[] for _ in utterances]
    for column in _draw(model, prompts, utterances, sampling):
        for index, row in column:
            said[index].append(row)
    return [_spoken(model, prompt, rows) for prompt, rows in zip(prompts, said, strict=True)]


def speak_stream(
    model: Speaker, utterance: Utterance, sampling: Sampling, steps: int
) -> Iterator[tuple[list[Ints], Spoken | None]]:
    """The codes of `speak` in parts of about `steps` steps, each as soon as it is drawn; the `Spoken` with the last."""
    prompt, rows, given = prompt_of(model, utterance), [], 0
    for column in _draw(model, [prompt], [utterance], sampling):
        rows.append(column[0][1])
        if len(rows) % (steps * model.tokens_per_step) == 0 and rows[-1][0] != model.end:
            part, given = _after(model.codes(_ids(model, rows)), given)
            if len(part[0]):
                yield part, None
    spoken = _spoken(model, prompt, rows)
    yield _after(spoken.codes, given)[0], spoken


def longest_run(codes: Sequence[Ints]) -> int:
    """How often the most repeated step of all codebooks stands in a row; 0 of no steps."""
    steps = len(codes[0]) if codes else 0
    if steps == 0:
        return 0
    columns = np.concatenate([np.asarray(book).reshape(steps, -1) for book in codes], axis=1)
    same = (columns[1:] == columns[:-1]).all(axis=1)
    return 1 + max((sum(1 for _ in run) for equal, run in itertools.groupby(same) if equal), default=0)


def _asked(utterance: Utterance) -> tuple[str, str | None, int]:
    return utterance.text, utterance.prompt_text, id(utterance.prompt_codes)


def prompt_of(model: Speaker, utterance: Utterance) -> Tensor:
    """The ids to start from. Raises `BadInput` for an empty text, half a voice prompt, and what leaves no room."""
    words = (utterance.prompt_text or "").strip() or None
    return model.prompt_ids(utterance.text, words, utterance.prompt_codes)


def _after(books: Sequence[Ints], given: int) -> tuple[list[Ints], int]:
    """Books without their first `given` steps of the slowest one, and how many steps there are by now."""
    steps = len(books[0])
    return [book[given * (len(book) // max(steps, 1)) :] for book in books], steps


def _spoken(model: Speaker, prompt: Tensor, rows: Sequence[list[int]]) -> Spoken:
    stopped = bool(rows) and rows[-1][0] == model.end
    ids = _ids(model, rows[:-1] if stopped else rows)
    codes = model.codes(ids)
    return Spoken(prompt.cpu().numpy(), ids, codes, stopped, longest_run(codes))


def _ids(model: Speaker, rows: Sequence[list[int]]) -> Ints:
    """Rows as the model reads them: [T], or [T, streams]."""
    table = np.array(rows, dtype=np.int64).reshape(len(rows), model.streams)
    return table[:, 0] if model.streams == 1 else table


@torch.inference_mode()
def _draw(
    model: Speaker, prompts: Sequence[Tensor], utterances: Sequence[Utterance], sampling: Sampling
) -> Iterator[list[tuple[int, list[int]]]]:
    """Step by step, pairs (which utterance, the row of ids it says next), the end included."""
    device = next(iter(model.parameters())).device
    rooms = [min(sampling.max_tokens or model.context, model.context - len(prompt)) for prompt in prompts]
    ids, mask = (part.to(device) for part in _padded(prompts))
    places = (mask.cumsum(1) - 1).clamp(min=0)
    generators = [torch.Generator().manual_seed(utterance.seed) for utterance in utterances]
    history: list[list[int]] = [[] for _ in utterances]
    alive, cache = list(range(len(prompts))), DynamicCache()
    for step in itertools.count():
        hidden = model.hidden(ids, cache=cache, attention_mask=mask, positions=places)[:, -1]  # [alive, width]
        logits, allowed = model.head(hidden), model.allowed(step)
        logits = (logits if allowed is None else logits[:, allowed.to(device)]).float().cpu()
        if not torch.isfinite(logits).all():
            broken = int((~torch.isfinite(logits).all(1)).nonzero()[0])
            raise SpeechEvalError(
                f"{utterances[alive[broken]].id}: the model's logits hold NaN or infinity at step {step}.",
                "Check the checkpoint, or load it as dtype=float32.",
            )
        chosen = []
        for row, index in enumerate(alive):
            recent = history[index][-sampling.repetition_window :]
            place = _choose(
                penalized(logits[row], allowed, recent, sampling.repetition_penalty), sampling, generators[index]
            )
            chosen.append(place if allowed is None else int(allowed[place]))
            history[index].append(chosen[-1])
        rows = _rows(model, hidden, chosen, sampling, [generators[index] for index in alive])  # [alive, streams]
        yield list(zip(alive, rows.tolist(), strict=True))
        staying = [row for row, index in enumerate(alive) if chosen[row] != model.end and step + 1 < rooms[index]]
        if not staying:
            return
        kept = torch.tensor(staying, device=device)
        if len(staying) < len(alive):
            cache.batch_select_indices(kept)
            alive = [alive[row] for row in staying]
        ids = rows.to(device)[kept][:, None] if model.streams > 1 else rows.to(device)[kept]
        mask = torch.cat([mask[kept], mask.new_ones(len(alive), 1)], dim=1)
        places = places[kept, -1:] + 1


def _padded(prompts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Prompts of different lengths as one batch [B, T(, streams)], filled up on the left, and its mask [B, T]."""
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.zeros(len(prompts), longest, *prompts[0].shape[1:], dtype=torch.long)
    mask = torch.zeros(len(prompts), longest, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    return ids, mask


def _rows(
    model: Any, hidden: Tensor, chosen: Sequence[int], sampling: Sampling, generators: Sequence[torch.Generator]
) -> Tensor:
    """Rows [B, streams] of what is said: the chosen ids, and where a position has more slots, what the model finishes
    them to."""
    first = torch.tensor(chosen)
    if model.streams == 1:
        return first[:, None]

    def choose(logits: Tensor) -> Tensor:
        rows = [
            _choose(row, sampling, generator) for row, generator in zip(logits.float().cpu(), generators, strict=True)
        ]
        return torch.tensor(rows, device=logits.device)

    # The end has no depth: its row is finished as any code's, and never read.
    safe = first.clamp(max=model.end - 1).to(hidden.device)
    rows = model.finish(hidden, safe, choose).cpu()
    rows[:, 0] = first
    return rows


def _choose(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """The place of the chosen id among `logits` [n].

    Drawn by the Gumbel-max trick: the rounding errors that a batch's shape makes then change the choice only where two
    candidates tie within them, so a request comes out the same in any batch.
    """
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    scaled = filtered(logits / sampling.temperature, sampling.top_k, sampling.top_p)
    noise = torch.empty_like(scaled).exponential_(generator=generator).clamp(min=1e-20)
    return int((scaled - noise.log()).argmax())


def penalized(logits: Tensor, allowed: Tensor | None, recent: Sequence[int], penalty: float) -> Tensor:
    """Logits [n] with those of the `recent` ids divided by `penalty`, or multiplied where negative (Keskar et al. 2019,
    CTRL)."""
    if penalty == 1.0 or not recent:
        return logits
    ids = torch.tensor(sorted(set(recent)))
    hit = torch.isin(torch.arange(len(logits)) if allowed is None else allowed.cpu(), ids)
    return torch.where(hit, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def filtered(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Logits [n] with all but the `top_k` likeliest at −∞, and of those all but the smallest set that holds `top_p` of
    the probability."""
    if 0 < top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(top_k).values[-1], -torch.inf)
    if top_p < 1.0:
        ordered, places = logits.sort(descending=True, stable=True)
        shares = ordered.softmax(0)
        dropped = shares.cumsum(0) - shares >= top_p
        logits = logits.index_fill(0, places[dropped], -torch.inf)
    return logits
