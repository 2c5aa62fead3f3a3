"""Sample speech from the trained token LM, within what the layout allows at each position.

A loop of its own beside `speech_lm.sampling.generate`, because in the delay layout the other streams go on after the
first one has ended. Single ids are drawn by the same function.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import DynamicCache

from speech_eval.reference_models.modelability.model import CodeLM
from speech_eval.reference_models.modelability.sequences import Sequences
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.sampling import Sampling, draw_one


def speak(
    model: CodeLM, sequences: Sequences, text: str, *, seed: int, temperature: float, max_steps: int
) -> tuple[list[Ints], bool]:
    """Words of the codes for a text, and whether the model ended by itself within `max_steps` positions of speech."""
    model.eval()
    device = next(model.parameters()).device
    generator, sampling = torch.Generator().manual_seed(seed), Sampling(temperature=temperature)
    prompt = sequences.prompt(text)
    room = min(max_steps, model.config.positions - prompt.shape[1])
    said = np.empty((prompt.shape[0], 0), dtype=np.int64)
    cache, ended_at = DynamicCache(), None
    tokens = torch.from_numpy(prompt)[None].to(device)
    with torch.inference_mode():
        for step in range(max(room, 0)):
            hidden = model.hidden(tokens, cache)[0, -1]  # [width]
            allowed = sequences.allowed(step, ended_at)
            if (ended_at is not None and all(len(ids) == 1 for ids in allowed[1:])) or not all(map(len, allowed)):
                break  # all has been said, or a codebook has no code that training saw twice
            column = [
                int(ids[draw_one(model.log_probabilities(hidden, s, ids.to(device)).cpu(), sampling, generator)])
                if len(ids) > 1
                else int(ids[0])
                for s, ids in enumerate(allowed)
            ]
            said = np.append(said, np.array(column)[:, None], axis=1)
            if ended_at is None and column[0] == sequences.end:
                ended_at = step
                if len(column) == 1:
                    break
            tokens = torch.tensor(column, device=device)[None, :, None]
    return sequences.codes(said), ended_at is not None


def longest(texts: Sequence[str], seconds: Sequence[float], rate: float) -> float:
    """Steps of speech that a byte of text may take: twice as many as the slowest training recording took."""
    pace = [second / max(len(text.encode()), 1) for text, second in zip(texts, seconds, strict=True)]
    return 2.0 * max(pace, default=0.0) * rate
