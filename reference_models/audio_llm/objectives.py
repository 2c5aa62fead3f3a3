"""The losses, each of a batch, in nats per token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from speech_eval.errors import SpeechEvalError
from speech_eval.reference_models.audio_llm.model import IGNORED, AudioLLM, Example, Rows
from speech_eval.reference_models.audio_llm.prompts import Heard, as_text


def next_token(model: AudioLLM, examples: Sequence[Example], distil: float = 0.0) -> dict[str, Tensor]:
    """`ce`: cross-entropy of the learned tokens. With `distil` also `kl`, the divergence from what the base LLM says
    when it reads the transcripts; `loss` is their mixture."""
    rows = model.rows(examples)
    check_labels(model, examples, rows)
    logits, targets = model.predict(rows)
    ce = F.cross_entropy(logits.float(), targets)
    if not distil:
        return {"loss": ce, "ce": ce}
    kl = divergence(logits, reading(model, examples))
    return {"loss": (1 - distil) * ce + distil * kl, "ce": ce, "kl": kl}


@torch.no_grad()
def reading(model: AudioLLM, examples: Sequence[Example]) -> Tensor:
    """Logits [N, vocabulary] of the learned tokens by the base LLM, the transcripts in place of the recordings."""
    written = [replace(example, segments=as_text(example.segments), features=()) for example in examples]
    with model.gate.kept_shut():
        found, _ = model.predict(model.rows(written))
    return found


def divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher ‖ model), a mean over the tokens [N, vocabulary]."""
    return F.kl_div(
        logits.float().log_softmax(-1), teacher.float().log_softmax(-1), log_target=True, reduction="batchmean"
    )


def check_labels(model: AudioLLM, examples: Sequence[Example], rows: Rows) -> None:
    """Raise `SpeechEvalError` for a batch in which the place of a recording would be learned, or the end of a reply
    would not: both make models that never stop or that learn nothing."""
    for example, labels in zip(examples, rows.labels, strict=True):
        learned = [part for part in example.segments if not isinstance(part, Heard) and part.learned]
        if not learned or any(part.ids[-1] not in model.text.ends for part in learned):
            raise SpeechEvalError(f"{example.id}: a reply whose end is not learned.", "Report this batch.")
        if int((labels != IGNORED).sum()) != sum(len(part.ids) for part in learned):
            raise SpeechEvalError(f"{example.id}: labels in the place of a recording.", "Report this batch.")
