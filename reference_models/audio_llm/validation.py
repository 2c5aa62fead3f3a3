"""What a model hears of held-out utterances."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from speech_eval.reference_models.audio_llm.features import Spoken
from speech_eval.reference_models.audio_llm.generation import Decoding, generate
from speech_eval.reference_models.audio_llm.model import AudioLLM
from speech_eval.reference_models.audio_llm.objectives import next_token
from speech_eval.reference_models.audio_llm.tasks import Tasks, tensor
from speech_eval.reference_models.speech_lm.recognition import Heard, error_rate

_BATCH = 16


@torch.no_grad()
def validate(model: AudioLLM, tasks: Tasks, spoken: Sequence[Spoken], *, through_llm: bool) -> dict[str, float]:
    """`ctc_wer`: word error rate of the CTC head's best path. Through the LLM: `ce` and `swapped`, nats per token of
    the transcripts with their own audio and with that of another utterance (equal where nothing is heard), and `wer`,
    greedy."""
    model.eval()
    found: dict[str, float] = {}
    if model.ctc is not None:
        found["ctc_wer"] = error_rate(_pairs(spoken, ctc_texts(model, spoken)))
    if through_llm:
        found["ce"] = _ce(model, tasks, spoken, 0)
        found["swapped"] = _ce(model, tasks, spoken, 1)
        found["wer"] = error_rate(_pairs(spoken, llm_texts(model, tasks, spoken)))
    return {name: round(value, 4) for name, value in found.items()}


def ctc_texts(model: AudioLLM, spoken: Sequence[Spoken]) -> list[str]:
    """What the CTC head hears, without the LLM."""
    assert model.ctc is not None
    texts: list[str] = []
    for start in range(0, len(spoken), _BATCH):
        paths = model.ctc.argmax(*model.frames([tensor(one) for one in spoken[start : start + _BATCH]]))
        texts += [model.text.tokenizer.decode(path).strip() for path in paths]
    return texts


def llm_texts(model: AudioLLM, tasks: Tasks, spoken: Sequence[Spoken]) -> list[str]:
    """Greedy transcripts by the LLM."""
    texts: list[str] = []
    for start in range(0, len(spoken), _BATCH):
        batch = spoken[start : start + _BATCH]
        asked = [tasks.question(one) for one in batch]
        most = max(8, round(max(one.seconds for one in batch) * 8))
        texts += [model.text.tokenizer.decode(ids).strip() for ids in generate(model, asked, Decoding(most))]
    return texts


def _ce(model: AudioLLM, tasks: Tasks, spoken: Sequence[Spoken], shift: int) -> float:
    total = 0.0
    starts = range(0, len(spoken), _BATCH)
    for start in starts:
        batch = spoken[start : start + _BATCH]
        other = [*batch[shift:], *batch[:shift]]
        examples = [tasks.transcription(one, tensor(two)) for one, two in zip(batch, other, strict=True)]
        total += float(next_token(model, examples)["ce"])
    return total / len(starts)


def _pairs(spoken: Sequence[Spoken], texts: Sequence[str]) -> list[Heard]:
    return [Heard(one.text, text, one.language) for one, text in zip(spoken, texts, strict=True)]
