"""Generate speech tokens with a language model over codes: batched, cached, one seed per request, whole or streamed.

What a model must offer is `interface.SpeakingModel`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.reference_models.speech_lm.interface import (
    FinishesFrames,
    Generation,
    SpeakingModel,
    Tokenizer,
    Utterance,
)
from speech_eval.reference_models.speech_lm.layouts import Ints


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. `temperature` 0 takes the most likely one; `top_k` 0 and `top_p` 1 keep all candidates;
    `repetition_penalty` divides the logits of the last `repetition_window` tokens; `max_tokens` limits the speech, as
    the model's context does in any case."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    repetition_window: int = 64
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        wrong = [
            f"{name}={getattr(self, name)}"
            for name, valid in (
                ("temperature", self.temperature >= 0.0),
                ("top_p", 0.0 < self.top_p <= 1.0),
                ("top_k", self.top_k >= 0),
                ("repetition_penalty", self.repetition_penalty >= 1.0),
                ("repetition_window", self.repetition_window >= 1),
                ("max_tokens", self.max_tokens is None or self.max_tokens >= 1),
            )
            if not valid
        ]
        if wrong:
            raise BadInput(
                f"Sampling options out of range: {', '.join(wrong)}.",
                "Use temperature ≥ 0, 0 < top_p ≤ 1, top_k ≥ 0, repetition_penalty ≥ 1, max_tokens ≥ 1.",
            )


def generate(model: SpeakingModel, utterances: Sequence[Utterance], sampling: Sampling) -> list[Generation]:
    """One `Generation` per utterance, the same whatever else is in the batch. Raises `BadInput` for an utterance that
    cannot be spoken (see `Tokenizer.prompt_ids`) and `SpeechEvalError` if the model computes NaN."""
    known: dict[Any, Tensor] = {}  # several candidates of one text share its prompt
    for utterance in utterances:
        if _key(utterance) not in known:
            known[_key(utterance)] = prompt_of(model.tokenizer, utterance)
    prompts = [known[_key(utterance)] for utterance in utterances]
    rows: list[list[list[int]]] = [[] for _ in utterances]
    for column in _draw(model, prompts, utterances, sampling):
        for index, row in column:
            rows[index].append(row)
    return [_generation(model.tokenizer, prompt, said) for prompt, said in zip(prompts, rows, strict=True)]


def generate_stream(
    model: SpeakingModel, utterance: Utterance, sampling: Sampling, steps: int
) -> Iterator[tuple[list[Ints], Generation | None]]:
    """The codes of `generate` in parts of about `steps` steps, each as soon as it is drawn; the `Generation` comes with
    the last part."""
    tokenizer = model.tokenizer
    prompt, rows, given = prompt_of(tokenizer, utterance), [], 0
    for column in _draw(model, [prompt], [utterance], sampling):
        rows.append(column[0][1])
        if len(rows) % (steps * tokenizer.tokens_per_step) == 0 and rows[-1][0] != tokenizer.end:
            part, given = _after(tokenizer.codes(_ids(tokenizer, rows)), given)
            if len(part[0]):
                yield part, None
    whole = _generation(tokenizer, prompt, rows)
    yield _after(whole.codes, given)[0], whole


def longest_run(codes: Sequence[Ints]) -> int:
    """How many times in a row the most repeated step of all codebooks occurs; 0 without steps."""
    steps = len(codes[0]) if codes else 0
    if steps == 0:
        return 0
    columns = np.concatenate([np.asarray(book).reshape(steps, -1) for book in codes], axis=1)
    same = (columns[1:] == columns[:-1]).all(axis=1)
    return 1 + max((sum(1 for _ in run) for equal, run in itertools.groupby(same) if equal), default=0)


def prompt_of(tokenizer: Tokenizer, utterance: Utterance) -> Tensor:
    """The ids to continue. Raises `BadInput` as `Tokenizer.prompt_ids` does."""
    transcript = (utterance.prompt_text or "").strip() or None
    return tokenizer.prompt_ids(
        utterance.text, transcript, utterance.prompt_codes, utterance.language, utterance.speaker
    )


def _key(utterance: Utterance) -> tuple[Any, ...]:
    return utterance.text, utterance.language, utterance.speaker, utterance.prompt_text, id(utterance.prompt_codes)


def _after(books: Sequence[Ints], given: int) -> tuple[list[Ints], int]:
    """Codebooks without their first `given` steps, and how many steps there are so far."""
    steps = len(books[0])
    return [book[given * (len(book) // max(steps, 1)) :] for book in books], steps


def _generation(tokenizer: Tokenizer, prompt: Tensor, rows: Sequence[list[int]]) -> Generation:
    stopped = bool(rows) and rows[-1][0] == tokenizer.end
    ids = _ids(tokenizer, rows[:-1] if stopped else rows)
    codes = tokenizer.codes(ids)
    return Generation(prompt.cpu().numpy(), ids, codes, stopped, longest_run(codes))


def _ids(tokenizer: Tokenizer, rows: Sequence[list[int]]) -> Ints:
    """Rows as the tokenizer reads them: [T], or [T, streams]."""
    table = np.array(rows, dtype=np.int64).reshape(len(rows), tokenizer.streams)
    return table[:, 0] if tokenizer.streams == 1 else table


@torch.inference_mode()
def _draw(
    model: SpeakingModel, prompts: Sequence[Tensor], utterances: Sequence[Utterance], sampling: Sampling
) -> Iterator[list[tuple[int, list[int]]]]:
    """Step by step, pairs (index of the utterance, the row of ids it says next), the end included."""
    tokenizer, device = model.tokenizer, next(iter(model.parameters())).device
    context = tokenizer.context
    rooms = [min(sampling.max_tokens or context, context - len(prompt)) for prompt in prompts]
    ids, mask = (part.to(device) for part in _padded(prompts))
    places = (mask.cumsum(1) - 1).clamp(min=0)
    generators = [torch.Generator().manual_seed(utterance.seed) for utterance in utterances]
    history: list[list[int]] = [[] for _ in utterances]
    alive, cache = list(range(len(prompts))), DynamicCache()
    for step in itertools.count():
        hidden = model.hidden(ids, cache=cache, attention_mask=mask, positions=places)[:, -1]  # [alive, width]
        logits, allowed = model.head(hidden), tokenizer.allowed(step)
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
            place = draw_one(
                penalized(logits[row], allowed, recent, sampling.repetition_penalty), sampling, generators[index]
            )
            chosen.append(place if allowed is None else int(allowed[place]))
            history[index].append(chosen[-1])
        drawing = [generators[index] for index in alive]
        rows = _rows(model, hidden, chosen, ids[:, -1], sampling, drawing)  # [alive, streams]
        yield list(zip(alive, rows.tolist(), strict=True))
        staying = [row for row, index in enumerate(alive) if chosen[row] != tokenizer.end and step + 1 < rooms[index]]
        if not staying:
            return
        kept = torch.tensor(staying, device=device)
        if len(staying) < len(alive):
            cache.batch_select_indices(kept)
            alive = [alive[row] for row in staying]
        ids = rows.to(device)[kept][:, None] if tokenizer.streams > 1 else rows.to(device)[kept]
        mask = torch.cat([mask[kept], mask.new_ones(len(alive), 1)], dim=1)
        places = places[kept, -1:] + 1


def _padded(prompts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Prompts of different lengths as one batch [B, T(, streams)], padded on the left, and its mask [B, T]."""
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.zeros(len(prompts), longest, *prompts[0].shape[1:], dtype=torch.long)
    mask = torch.zeros(len(prompts), longest, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    return ids, mask


def _rows(
    model: SpeakingModel,
    hidden: Tensor,
    chosen: Sequence[int],
    before: Tensor,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """Rows [B, streams]: the chosen ids, and in models with several slots per position the other slots."""
    first = torch.tensor(chosen)
    if not isinstance(model, FinishesFrames):
        return first[:, None]

    def choose(logits: Tensor) -> Tensor:
        rows = [
            draw_one(row, sampling, generator) for row, generator in zip(logits.float().cpu(), generators, strict=True)
        ]
        return torch.tensor(rows, device=logits.device)

    return model.finish(hidden, first.to(hidden.device), before, choose).cpu()


def draw_one(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """The index of the chosen id in `logits` [n].

    Drawn by the Gumbel-max trick: rounding errors, which depend on the shape of the batch, then change the choice only
    if two candidates tie within them, so a request gives the same speech in any batch.
    """
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    scaled = filtered(logits / sampling.temperature, sampling.top_k, sampling.top_p)
    noise = torch.empty_like(scaled).exponential_(generator=generator).clamp(min=1e-20)
    return int((scaled - noise.log()).argmax())


def penalized(logits: Tensor, allowed: Tensor | None, recent: Sequence[int], penalty: float) -> Tensor:
    """Logits [n] with those of the `recent` ids divided by `penalty`, or multiplied if negative (Keskar et al. 2019,
    CTRL)."""
    if penalty == 1.0 or not recent:
        return logits
    ids = torch.tensor(sorted(set(recent)))
    hit = torch.isin(torch.arange(len(logits)) if allowed is None else allowed.cpu(), ids)
    return torch.where(hit, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def filtered(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Logits [n] with all but the `top_k` most likely at −∞, then all but the smallest set that holds `top_p` of the
    probability."""
    if 0 < top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(top_k).values[-1], -torch.inf)
    if top_p < 1.0:
        ordered, places = logits.sort(descending=True, stable=True)
        shares = ordered.softmax(0)
        dropped = shares.cumsum(0) - shares >= top_p
        logits = logits.index_fill(0, places[dropped], -torch.inf)
    return logits
