"""What an utterance teaches: the tasks of a stage's mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from speech_eval.reference_models.audio_llm.features import Spoken
from speech_eval.reference_models.audio_llm.model import AudioLLM, Example
from speech_eval.reference_models.audio_llm.objectives import next_token
from speech_eval.reference_models.audio_llm.prompts import Heard, Written
from speech_eval.reference_models.audio_llm.training_config import StageConfig

Losses = dict[str, Tensor]


class Tasks:
    """Losses of a model on utterances. A task `NAME` is the method `_NAME`."""

    def __init__(self, model: AudioLLM) -> None:
        self.model = model

    def losses(self, task: str, spoken: Sequence[Spoken], stage: StageConfig, number: int) -> Losses:
        """`loss` to learn from, and what is reported beside it; `number` counts the steps of the stage."""
        method: Any = getattr(self, f"_{task}")
        found: Losses = method(spoken, stage, number)
        return found

    def _ctc(self, spoken: Sequence[Spoken], stage: StageConfig, number: int) -> Losses:
        ctc = self.model.ctc
        assert ctc is not None
        targets = self.targets(spoken)
        known = [i for i, target in enumerate(targets) if target is not None]
        if not known:  # a checkpoint's vocabulary may lack words of new data
            zero = ctc.scale * 0
            return {"loss": zero, "ctc": zero}
        positions, counts = self.model.frames([tensor(spoken[i]) for i in known])
        labels = [labels for labels in targets if labels is not None]
        if number < stage.flat_steps:
            sizes = [self._sizes(spoken[i]) for i in known]
            loss = ctc.flat_loss(positions, counts, labels, sizes, stage.negatives)
            return {"loss": loss, "flat": loss}
        loss = ctc.loss(positions, counts, labels, stage.negatives)
        return {"loss": loss, "ctc": loss}

    def _transcribe(self, spoken: Sequence[Spoken], stage: StageConfig, number: int) -> Losses:
        return next_token(self.model, [self.transcription(one) for one in spoken], stage.distil)

    def _replay(self, spoken: Sequence[Spoken], stage: StageConfig, number: int) -> Losses:
        losses = next_token(self.model, [self._text(one) for one in spoken])
        return {"loss": losses["loss"], "text": losses["ce"]}

    def transcription(self, one: Spoken, features: Tensor | None = None) -> Example:
        """The transcription of an utterance as the LLM learns it."""
        heard = tensor(one) if features is None else features
        return Example(one.id, self.model.prompter.transcription(one.text), (heard,), examples=True)

    def question(self, one: Spoken) -> Example:
        """The transcription of an utterance as the LLM is asked for it."""
        return Example(one.id, self.model.prompter.transcription(None), (tensor(one),), examples=True)

    def targets(self, spoken: Sequence[Spoken]) -> list[Tensor | None]:
        """CTC labels of each text; None where a token is not in the vocabulary."""
        assert self.model.ctc is not None
        return [self.model.ctc.labels(self.model.prompter.spoken_ids(one.text)) for one in spoken]

    def shown(self, one: Spoken) -> str:
        """An utterance as the LLM sees it, for a human to check; each recording is written once."""
        decode = self.model.text.tokenizer.decode
        parts = [
            f"[{one.seconds:.1f} s of audio]" if isinstance(part, Heard) else self._marked(decode(list(part.ids)), part)
            for part in self.model.prompter.transcription(one.text)
        ]
        return "".join(parts).replace("\n", "\\n")

    def _marked(self, text: str, part: Written) -> str:
        return f"«{text}»" if part.learned else text

    def _text(self, one: Spoken) -> Example:
        ids = self.model.prompter.spoken_ids(one.text)
        end = min(self.model.text.ends)
        return Example(one.id, (Written(ids[:1]), Written((*ids[1:], end), True)))

    def _sizes(self, one: Spoken) -> list[int]:
        decode = self.model.text.tokenizer.decode
        return [max(1, len(decode([token]))) for token in self.model.prompter.spoken_ids(one.text)]


def tensor(one: Spoken) -> Tensor:
    """The features of an utterance [frames, dim] in float32."""
    return torch.from_numpy(one.features.astype("float32"))
