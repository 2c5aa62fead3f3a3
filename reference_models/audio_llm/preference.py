"""Direct preference optimization (Rafailov et al. 2023) of transcripts, ranked by their word error rate.

    loss = −log σ( β [ (log π − log π_start)(better) − (log π − log π_start)(worse) ] )

The start is the model when the stage began. Offline pairs are the transcript and what the start says; online pairs are
two answers of the current model. Pairs of equal error rate, and answers that were cut off, teach nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from speech_eval.reference_models.audio_llm.features import Spoken
from speech_eval.reference_models.audio_llm.generation import Decoding, generate
from speech_eval.reference_models.audio_llm.model import AudioLLM, Example
from speech_eval.reference_models.audio_llm.training_config import PreferenceSection
from speech_eval.reference_models.speech_lm.recognition import Heard, error_rate

Pair = tuple[str, str]  # the better text, the worse one


class Start:
    """What the model had learned when the stage began; part of the training state. Empty outside such a stage."""

    def __init__(self) -> None:
        self.kept: dict[str, Tensor] = {}

    def keep(self, model: AudioLLM) -> None:
        self.kept = {name: tensor.detach().clone() for name, tensor in model.learned().state_dict().items()}

    def state_dict(self) -> dict[str, Tensor]:
        return self.kept

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        self.kept = dict(state_dict)

    @contextmanager
    def in_place(self, model: AudioLLM) -> Iterator[None]:
        """The model as it was when the stage began."""
        learned = model.learned()
        now = {name: tensor.detach().clone() for name, tensor in learned.state_dict().items()}
        learned.load_state_dict(self.kept)
        try:
            yield
        finally:
            learned.load_state_dict(now)


def preference_loss(better: Tensor, worse: Tensor, beta: float) -> Tensor:
    """Mean over pairs. `better` and `worse` [pairs] are log-probabilities of texts minus those of the start."""
    return -F.logsigmoid(beta * (better - worse)).mean()


def preferred(
    model: AudioLLM, start: Start, spoken: Sequence[Spoken], section: PreferenceSection, seed: int
) -> dict[str, Tensor]:
    """`loss`, the `pairs` that there were, the share that the model `prefers` rightly, and the mean `margin`."""
    pairs = _pairs(model, start, spoken, section, seed)
    if not pairs:
        zero = torch.zeros(())
        return {"loss": zero, "pairs": zero}
    better = [_example(model, one, texts[0]) for one, texts in pairs]
    worse = [_example(model, one, texts[1]) for one, texts in pairs]
    with torch.no_grad(), start.in_place(model):
        before = (log_probs(model, better), log_probs(model, worse))
    above, below = log_probs(model, better) - before[0], log_probs(model, worse) - before[1]
    margin = (above - below).detach()
    return {
        "loss": preference_loss(above, below, section.beta),
        "pairs": torch.tensor(float(len(pairs))),
        "prefers": (margin > 0).float().mean(),
        "margin": margin.mean(),
    }


def log_probs(model: AudioLLM, examples: Sequence[Example]) -> Tensor:
    """Log-probability [B] of the learned tokens of each example."""
    rows = model.rows(examples)
    logits, targets = model.predict(rows)
    found = logits.float().log_softmax(-1).gather(1, targets[:, None])[:, 0]
    counts = (rows.labels[:, 1:] >= 0).sum(1).tolist()
    return torch.stack([part.sum() for part in found.split(counts)])


def _pairs(
    model: AudioLLM, start: Start, spoken: Sequence[Spoken], section: PreferenceSection, seed: int
) -> list[tuple[Spoken, Pair]]:
    both: list[tuple[str | None, str | None]]
    if section.pairs == "offline":
        with start.in_place(model):
            said = _answers(model, spoken, section, seed)
        both = [(one.text, text) for one, text in zip(spoken, said, strict=True)]
    else:
        first, second = (_answers(model, spoken, section, 2 * seed + i) for i in (0, 1))
        both = list(zip(first, second, strict=True))
    ranked = []
    for one, texts in zip(spoken, both, strict=True):
        if None in texts:
            continue
        rates = [error_rate([Heard(one.text, str(text), one.language)]) for text in texts]
        if rates[0] != rates[1]:
            better, worse = (str(text) for _, text in sorted(zip(rates, texts, strict=True), key=lambda item: item[0]))
            ranked.append((one, (better, worse)))
    return ranked


def _answers(model: AudioLLM, spoken: Sequence[Spoken], section: PreferenceSection, seed: int) -> list[str | None]:
    """A sampled transcript of each utterance; None for one that was cut off."""
    most = max(8, round(max(one.seconds for one in spoken) * 8))
    asked = [_example(model, one, None) for one in spoken]
    seeds = [seed * 1009 + index for index in range(len(spoken))]
    training = model.training
    model.eval()
    found = generate(model, asked, Decoding(most, section.temperature), seeds)
    model.train(training)
    return [model.text.tokenizer.decode(ids).strip() if len(ids) < most else None for ids in found]


def _example(model: AudioLLM, one: Spoken, text: str | None) -> Example:
    features = torch.from_numpy(one.features.astype("float32"))
    return Example(one.id, model.prompter.transcription(text), (features,), examples=True)
