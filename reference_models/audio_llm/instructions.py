"""Conversations to learn from a recording: transcribe, answer, translate, say how it was said, refuse.

A conversation is made only of what the data state: a question has a column `answer`, a translation a column
`translation_XX`, the speaker a column `sex` or `gender`. The pace follows from text and length, noise and line from
what augmentation did. Texts of `spoken-qa` are in no source that the project makes to train on.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from speech_eval.errors import BadInput
from speech_eval.reference_models.audio_llm.features import Spoken
from speech_eval.reference_models.audio_llm.prompts import PLACE, Message
from speech_eval.text.language import english_name

SLOW, FAST = 1.6, 3.0  # words per second; between them nothing is said about the pace
_SEX = {"f": "woman", "female": "woman", "woman": "woman", "m": "man", "male": "man", "man": "man"}


@dataclass(frozen=True)
class Conversation:
    """Messages, and the transcript of each recording that they have an `<|audio|>` for: one, or none."""

    kind: str
    messages: tuple[Message, ...]
    transcripts: tuple[str, ...]


Asked = tuple[str, str]  # what the user says, what the assistant answers


def kinds_of(spoken: Spoken) -> list[str]:
    """The kinds of conversations that the data of a recording allow, in alphabetical order."""
    return [kind for kind in sorted(_MAKERS) if _MAKERS[kind](spoken)]


def conversation(spoken: Spoken, kind: str, draw: random.Random) -> Conversation:
    """A conversation of this kind, one of its wordings. Raises `BadInput` for a kind that the data do not allow."""
    if kind not in _MAKERS:
        raise BadInput(f"There is no kind of conversation '{kind}'.", f"Use one of: {', '.join(sorted(_MAKERS))}.")
    choices = _MAKERS[kind](spoken)
    if not choices:
        raise BadInput(f"{spoken.id}: its data do not allow '{kind}'.", f"They allow {', '.join(kinds_of(spoken))}.")
    asked, answer = draw.choice(choices)
    messages = ({"role": "user", "content": asked}, {"role": "assistant", "content": answer})
    return Conversation(kind, messages, (spoken.text,) if PLACE in asked else ())


def _transcribe(spoken: Spoken) -> list[Asked]:
    wordings = ("Transcribe this: {}", "What is said here? {}", "Write down what you hear.{}", "{}Repeat that, please.")
    return [(wording.format(PLACE), spoken.text) for wording in wordings]


def _answer(spoken: Spoken) -> list[Asked]:
    """The recording alone is the question, or a text asks for the answer to it."""
    answer = spoken.metadata.get("answer")
    if not answer:
        return []
    return [(PLACE, str(answer)), (f"Answer the question: {PLACE}", str(answer))]


def _translate(spoken: Spoken) -> list[Asked]:
    found = []
    for column, text in spoken.metadata.items():
        if (match := re.fullmatch(r"translation_([a-z]{2,3}(?:-\w+)*)", column)) and text:
            found.append((f"Translate this into {english_name(match[1])}: {PLACE}", str(text)))
    return found


def _speaker(spoken: Spoken) -> list[Asked]:
    stated = spoken.metadata.get("sex", spoken.metadata.get("gender"))
    sex = _SEX.get(str(stated).lower())
    if sex is None:
        return []
    return [(f"{PLACE}Is a man or a woman speaking?", f"A {sex} is speaking.")]


def _pace(spoken: Spoken) -> list[Asked]:
    rate = len(spoken.text.split()) / max(spoken.seconds, 0.1)
    if SLOW < rate < FAST:
        return []
    pace = "Slowly." if rate <= SLOW else "Quickly."
    return [(f"{PLACE}Is this spoken quickly or slowly?", pace)]


def _channel(spoken: Spoken) -> list[Asked]:
    """What augmentation did, stated as `condition`; a recording whose condition is unknown says nothing."""
    condition = spoken.metadata.get("condition")
    if condition is None:
        return []
    names = {part.partition("=")[0] for part in str(condition).split("+")}
    noisy = "Yes." if names & {"noise", "babble"} else "No."
    line = "Yes." if "telephone" in names else "No."
    return [
        (f"{PLACE}Is there noise in the background?", noisy),
        (f"{PLACE}Was this said over a telephone?", line),
    ]


def _refuse(spoken: Spoken) -> list[Asked]:
    """What no recording of a voice tells."""
    return [
        (
            f"{PLACE}What is the name of the person who is speaking?",
            "I cannot tell from the recording who is speaking.",
        ),
        (f"{PLACE}What is the speaker wearing?", "I can only hear the speaker, so I do not know."),
        ("Transcribe the recording.", "There is no recording here. Please send me one."),
    ]


_MAKERS: dict[str, Callable[[Spoken], Sequence[Asked]]] = {
    "transcribe": _transcribe,
    "answer": _answer,
    "translate": _translate,
    "speaker": _speaker,
    "pace": _pace,
    "channel": _channel,
    "refuse": _refuse,
}
KINDS = tuple(sorted(_MAKERS))
