"""From utterances to what the model reads, for the tasks that take more than a transcript: speech and text in turn, and
conversations about a recording. Each example is checked, and can be shown as the model will see it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import numpy as np
import torch

from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.reference_models.audio_llm.features import FeatureStore, Spoken
from speech_eval.reference_models.audio_llm.instructions import conversation, kinds_of
from speech_eval.reference_models.audio_llm.interleave import Chunk, Document, Marks, chunks, interleaved
from speech_eval.reference_models.audio_llm.model import Example
from speech_eval.reference_models.audio_llm.prompts import Heard, Prompter
from speech_eval.reference_models.audio_llm.training_config import ExamplesSection

REPEAT, NEXT = "<repeat>", "<next>"


def marks_of(prompter: Prompter) -> Marks:
    """The marks in the LLM's own tokens, one token each if its vocabulary has them, and the first token of its ends."""
    ids = prompter.tokenizer([REPEAT, NEXT], add_special_tokens=False)["input_ids"]
    return Marks(tuple(ids[0]), tuple(ids[1]), (min(prompter.ends),))


class Examples:
    """Makes examples of utterances. What is drawn follows from `draw` alone."""

    def __init__(self, prompter: Prompter, section: ExamplesSection) -> None:
        self.prompter, self.section, self.marks = prompter, section, marks_of(prompter)

    def interleave(self, one: Spoken, draw: random.Random) -> list[Example]:
        """The documents of an utterance; one without word times is a single chunk."""
        parts = (
            chunks(one.words, len(one.features), self.section.chunk_seconds)
            if one.words
            else (Chunk(0, len(one.features), one.text),)
        )
        documents = interleaved(parts, self.section.repeat, self.marks, self.prompter.spoken_ids, draw)
        return [self._checked(example_of(one, document)) for document in documents]

    def instruct(self, one: Spoken, draw: random.Random) -> list[Example]:
        """A conversation of a kind that the data of the recording allow; none where they allow no kind that is asked
        for."""
        weights = {kind: self.section.conversations.get(kind, 0.0) for kind in kinds_of(one)}  # type: ignore[call-overload]
        if not any(weights.values()):
            return []
        (kind,) = draw.choices(list(weights), list(weights.values()))
        made = conversation(one, kind, draw)
        segments = self.prompter.segments(made.messages, made.transcripts)
        return [self._checked(Example(one.id, segments, (_tensor(one),) if made.transcripts else ()))]

    def _checked(self, example: Example) -> Example:
        check_ends(example, self.prompter.ends)
        return example


def example_of(one: Spoken, document: Document) -> Example:
    """An interleaved document with the features of its chunks."""
    features = _tensor(one)
    return Example(one.id, document.segments, tuple(features[start:end] for start, end in document.spans))


def check_ends(example: Example, ends: Iterable[int]) -> None:
    """Raise `SpeechEvalError` unless each learned text ends with one of `ends`, and there is a place per recording."""
    learned = [part for part in example.segments if not isinstance(part, Heard) and part.learned]
    if not learned or any(not part.ids or part.ids[-1] not in ends for part in learned):
        raise SpeechEvalError(
            f"{example.id}: a learned text has no end.", "A model trained on this would not stop: check the template."
        )
    places = sum(isinstance(part, Heard) for part in example.segments)
    if places != len(example.features):
        raise SpeechEvalError(
            f"{example.id}: {places} places for {len(example.features)} recordings.", "Check the conversation."
        )


def shown(example: Example, decode: Callable[[list[int]], str]) -> str:
    """An example as the model sees it, decoded from its ids, on one line: `[1.2 s of audio]`, and «what is learned»."""
    lengths = iter(len(features) for features in example.features)
    parts = []
    for part in example.segments:
        if isinstance(part, Heard):
            parts.append(f"[{next(lengths) / 50:.1f} s of audio]")
        else:
            text = decode(list(part.ids))
            parts.append(f"«{text}»" if part.learned else text)
    return "".join(parts).replace("\n", "\\n")


def balanced(store: FeatureStore, human: float | None, seed: int) -> list[int]:
    """Indices of utterances of which the share `human` is recorded, not synthetic: the scarcer kind is repeated. None
    takes every utterance once. Raises `BadInput` where a kind is asked for that the store does not have."""
    if human is None:
        return list(range(len(store)))
    synthetic = np.array([bool(row.line["metadata"].get("synthetic")) for row in store.rows])
    kinds = {"recorded": (np.flatnonzero(~synthetic), human), "synthetic": (np.flatnonzero(synthetic), 1 - human)}
    for name, (members, share) in kinds.items():
        if share and not len(members):
            raise BadInput(
                f"The data have no {name} utterance, and a share of {share:g} is asked for.",
                "Add such data, or change `human` of the stage's examples.",
            )
    total = max(round(len(members) / share) for members, share in kinds.values() if share)
    draw = np.random.default_rng([seed, 11])
    chosen = [_repeated(members, round(total * share), draw) for members, share in kinds.values() if share]
    return [int(index) for index in np.concatenate(chosen)]


def _repeated(members: np.ndarray[tuple[int], np.dtype[np.int64]], count: int, draw: np.random.Generator) -> list[int]:
    """`count` of the members: all of them as often as that goes, and a random part of them once more."""
    whole, rest = divmod(count, len(members))
    return [*np.tile(members, whole), *draw.permutation(members)[:rest]]


def _tensor(one: Spoken) -> torch.Tensor:
    return torch.from_numpy(one.features.astype("float32"))
