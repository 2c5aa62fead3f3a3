"""The kinds of listening test: what a trial presents, what is asked, and which metric the answers feed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from speech_eval.errors import UnknownName
from speech_eval.statistics.agreement import Scale

Style = Literal["single", "pair", "many"]


@dataclass(frozen=True)
class Kind:
    """One kind of test.

    `style` is what a trial presents: one sound, two, or all of a sample. `choices` are the answers with their labels;
    none for sliders and free text. `beside` is what is given with the sound: `reference` (the recording), `voice` (the
    voice prompt, else the recording) or `text`. `scale` is that of the agreement of raters.
    """

    name: str
    title: str
    style: Style
    question: str
    choices: tuple[tuple[int, str], ...] = ()
    metric: str = ""
    beside: Literal["", "reference", "voice", "text"] = ""
    scale: Scale = "ordinal"

    def allows(self, value: object, slots: int) -> bool:
        """Whether an answer is one that this kind can have, in a trial of so many sounds."""
        if self.name == "text":
            return isinstance(value, str)
        if self.style == "many":
            return isinstance(value, list) and len(value) == slots and all(0 <= grade <= 100 for grade in value)
        return isinstance(value, int) and value in {choice for choice, _ in self.choices}


_KINDS = (
    Kind(
        "mos",
        "Quality",
        "single",
        "How good is the quality of this speech?",
        ((5, "Excellent"), (4, "Good"), (3, "Fair"), (2, "Poor"), (1, "Bad")),
        "mos[human-acr@1]",
    ),
    Kind(
        "smos",
        "Voice",
        "single",
        "Is this the same person as in the first recording?",
        (
            (5, "Certainly the same person"),
            (4, "Probably the same person"),
            (3, "Not sure"),
            (2, "Probably another person"),
            (1, "Certainly another person"),
        ),
        "smos[human@1]",
        beside="voice",
    ),
    Kind(
        "cmos",
        "Comparison",
        "pair",
        "How is the quality of B compared with that of A?",
        (
            (3, "B is much better"),
            (2, "B is better"),
            (1, "B is slightly better"),
            (0, "About the same"),
            (-1, "B is slightly worse"),
            (-2, "B is worse"),
            (-3, "B is much worse"),
        ),
        "cmos[human-ccr@1]",
        scale="interval",
    ),
    Kind(
        "ab",
        "Preference",
        "pair",
        "Which of the two do you prefer?",
        ((-1, "A"), (0, "No preference"), (1, "B")),
        "preference[human-ab@1]",
        scale="ordinal",
    ),
    Kind(
        "abx",
        "Same or different",
        "pair",
        "Is X the same sound as A, or as B?",
        ((0, "X is A"), (1, "X is B")),
        "abx[human@1]",
        scale="nominal",
    ),
    Kind(
        "mushra",
        "Quality beside a reference",
        "many",
        "How good is each sound compared with the reference? One of them is the reference itself: give it 100.",
        metric="mushra[human@1]",
        beside="reference",
        scale="interval",
    ),
    Kind(
        "same-words",
        "Words",
        "single",
        "Does the speech say exactly these words?",
        ((1, "Yes, exactly"), (0, "No")),
        "same-words[human@1]",
        beside="text",
        scale="nominal",
    ),
    Kind("text", "Remarks", "single", "What do you notice about this speech?"),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}
# The five equal bands of BS.1534, from the top.
BANDS = ("Excellent", "Good", "Fair", "Poor", "Bad")


def kinds_named(names: Sequence[str]) -> list[Kind]:
    """The kinds of a list of names. Raises `UnknownName`."""
    if unknown := [name for name in names if name not in KINDS]:
        raise UnknownName(f"There is no listening test of the kind '{unknown[0]}'.", f"Use one of {', '.join(KINDS)}.")
    return [KINDS[name] for name in dict.fromkeys(names)]
