"""Let the trained token LM speak: sample codes after a text, within what the layout allows at each step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from speech_eval.reference_models.modelability.model import CodeLM
from speech_eval.reference_models.modelability.sequences import Sequences
from speech_eval.reference_models.speech_lm.layouts import Ints


def speak(
    model: CodeLM, sequences: Sequences, text: str, *, seed: int, temperature: float, max_steps: int
) -> tuple[list[Ints], bool]:
    """Codes for a text, and whether the model ended by itself within `max_steps` positions of speech."""
    model.eval()
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    prompt = sequences.prompt(text)
    room = min(max_steps, model.config.positions - prompt.shape[1])
    said = np.empty((prompt.shape[0], 0), dtype=np.int64)
    end = sequences.vocabulary.id("speech-end")
    cache, ended_at = DynamicCache(), None
    tokens = torch.from_numpy(prompt)[None].to(device)
    with torch.inference_mode():
        for step in range(max(room, 0)):
            hidden = model.hidden(tokens, cache)[0, -1]  # [width]
            ranges = sequences.allowed(step, ended_at)
            if ended_at is not None and all(last - first == 1 for first, last, _ in ranges[1:]):
                break
            column = [
                _draw(model.logits(hidden, s).float().cpu(), span, end, temperature, generator)
                for s, span in enumerate(ranges)
            ]
            said = np.append(said, np.array(column)[:, None], axis=1)
            if ended_at is None and column[0] == end:
                ended_at = step
                if len(column) == 1:
                    break
            tokens = torch.tensor(column, device=device)[None, :, None]
    return sequences.codes(said), ended_at is not None


def _draw(logits: Tensor, span: tuple[int, int, bool], end: int, temperature: float, generator: torch.Generator) -> int:
    """One id among those allowed; the most likely one at temperature 0."""
    first, last, may_end = span
    if last - first == 1 and not may_end:
        return first
    kept = torch.cat([logits[first:last], logits[end : end + 1]]) if may_end else logits[first:last]
    if temperature == 0:
        drawn = int(kept.argmax())
    else:
        drawn = int(torch.multinomial(torch.softmax(kept / temperature, 0), 1, generator=generator))
    return end if may_end and drawn == last - first else first + drawn


def longest(texts: Sequence[str], seconds: Sequence[float], rate: float) -> float:
    """Steps of speech a byte of text may take: twice the slowest speaker's of the training texts."""
    pace = [second / max(len(text.encode()), 1) for text, second in zip(texts, seconds, strict=True)]
    return 2.0 * max(pace, default=0.0) * rate
