"""What an utterance teaches: the tasks of a stage's mixture."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speech_eval.errors import BadInput
from speech_eval.reference_models.audio_llm.data import Examples, shown
from speech_eval.reference_models.audio_llm.features import Spoken
from speech_eval.reference_models.audio_llm.fusion.ctc import placed, spread
from speech_eval.reference_models.audio_llm.model import AudioLLM, Example
from speech_eval.reference_models.audio_llm.objectives import next_token
from speech_eval.reference_models.audio_llm.preference import Start, preferred
from speech_eval.reference_models.audio_llm.prompts import Written
from speech_eval.reference_models.audio_llm.training_config import StageConfig

Losses = dict[str, Tensor]


class Tasks:
    """Losses of a model on utterances. A task `NAME` is the method `_NAME`."""

    def __init__(self, model: AudioLLM) -> None:
        self.model, self.start = model, Start()

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
        positions, counts = self.model.frames([learned_from(spoken[i], stage) for i in known])
        labels = [labels for labels in targets if labels is not None]
        if number < stage.frame_steps:
            frames = [self._placed(spoken[i], int(n)) for i, n in zip(known, counts, strict=True)]
            loss = ctc.frame_loss(positions, counts, frames, stage.negatives)
            return {"loss": loss, "frames": loss}
        loss = ctc.loss(positions, counts, labels, stage.negatives)
        return {"loss": loss, "ctc": loss}

    def _transcribe(self, spoken: Sequence[Spoken], stage: StageConfig, number: int) -> Losses:
        behind = joined(spoken, stage.join, number)
        return next_token(
            self.model, [self.transcription(one, learned_from(one, stage)) for one in behind], stage.distil
        )

    def _replay(self, spoken: Sequence[Spoken], stage: StageConfig, number: int) -> Losses:
        losses = next_token(self.model, [self._text(one) for one in spoken])
        return {"loss": losses["loss"], "text": losses["ce"]}

    def _prefer(self, spoken: Sequence[Spoken], stage: StageConfig, number: int) -> Losses:
        return preferred(self.model, self.start, spoken, stage.preference, number)

    def _interleave(self, spoken: Sequence[Spoken], stage: StageConfig, number: int) -> Losses:
        return self._made(spoken, stage, number, "interleave")

    def _instruct(self, spoken: Sequence[Spoken], stage: StageConfig, number: int) -> Losses:
        return self._made(spoken, stage, number, "instruct")

    def _made(self, spoken: Sequence[Spoken], stage: StageConfig, number: int, task: str) -> Losses:
        """The loss of the examples that are made of the utterances, which are as many or more, or fewer."""
        found = self.examples(task, spoken, stage, number)
        if not found:
            raise BadInput(f"None of {len(spoken)} utterances allows the task {task}.", "Change the stage's examples.")
        losses = next_token(self.model, found, stage.distil)
        return losses | {task: losses["ce"]}

    def examples(self, task: str, spoken: Sequence[Spoken], stage: StageConfig, number: int) -> list[Example]:
        """What is made of the utterances for `interleave` or `instruct` in a step."""
        make: Any = getattr(Examples(self.model.prompter, stage.examples), task)
        return [example for one in spoken for example in make(one, random.Random(f"{number}/{one.id}"))]

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

    def shown(self, one: Spoken, stage: StageConfig) -> list[str]:
        """An utterance as the LLM sees it in each task of a stage, for a human to check."""
        found = [] if set(stage.mixture) == {"interleave"} else [self.transcription(one)]
        for task in ("interleave", "instruct"):
            found += self.examples(task, [one], stage, 0) if task in stage.mixture else []
        return [shown(example, self.model.text.tokenizer.decode) for example in found]

    def _text(self, one: Spoken) -> Example:
        ids = self.model.prompter.spoken_ids(one.text)
        end = min(self.model.text.ends)
        return Example(one.id, (Written(ids[:1]), Written((*ids[1:], end), True)))

    def _placed(self, one: Spoken, positions: int) -> Tensor:
        """A label for each position: by the times of the words where they are known, else evenly along the text."""
        assert self.model.ctc is not None
        pieces = [(word.text, word.start, word.end) for word in one.words] or [(one.text, 0.0, one.seconds)]
        found = []
        for text, start, end in pieces:
            ids = self.model.prompter.spoken_ids(text)
            labels = self.model.ctc.labels(ids)
            if labels is not None:
                found.append((labels, self._sizes(ids), start / one.seconds, end / one.seconds))
        if not one.words:
            ((labels, sizes, _, _),) = found
            return spread(labels, sizes, positions)
        return placed(found, positions, self.model.ctc.blank)

    def _sizes(self, ids: Sequence[int]) -> list[int]:
        decode = self.model.text.tokenizer.decode
        return [max(1, len(decode([token]))) for token in ids]


def joined(spoken: Sequence[Spoken], most: int, number: int) -> list[Spoken]:
    """The utterances of step `number` behind one another, 1 to `most` as one, as many as the step draws."""
    draw, found, left = random.Random(f"joined/{number}"), [], list(spoken)
    while left:
        size = draw.randint(1, most)
        group, left = left[:size], left[size:]
        name, text = ("+".join(one.id for one in group), " ".join(one.text for one in group))
        found.append(Spoken(name, text, group[0].language, "", np.concatenate([one.features for one in group])))
    return found


def tensor(one: Spoken) -> Tensor:
    """The features of an utterance [frames, dim] in float32."""
    return torch.from_numpy(one.features.astype("float32"))


def learned_from(one: Spoken, stage: StageConfig) -> Tensor:
    """The same as a stage of training has them, with its mask."""
    return tensor(one) if stage.mask is None else stage.mask.apply(tensor(one))
