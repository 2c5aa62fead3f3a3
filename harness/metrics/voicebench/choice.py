"""MMSU and OpenBookQA: which of four options an answer names."""

from __future__ import annotations

from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Value
from speech_eval.metrics.voicebench.patterns import matches, plain_letter
from speech_eval.metrics.voicebench.records import SOURCE, reference, response, without_turn
from speech_eval.metrics.voicebench.templates import CHOICE
from speech_eval.records import Sample

LETTERS = "abcd"
_PUNCTUATION = (".", ",", ":", ")")


def original_choice(answer: str) -> str | None:
    """The option the original reads, `A` to `D`; None where it would draw one at random.

    It also finds letters inside words: "the answer is absolutely B" is A.
    """
    text = without_turn(answer.lower())
    for template in CHOICE:
        for letter in LETTERS:
            if template.replace("#", letter) in text:
                return letter.upper()
    for letter in LETTERS:
        if text == letter or text.startswith(tuple(letter + mark for mark in _PUNCTUATION)):
            return letter.upper()
    return None


def choice(answer: str) -> str | None:
    """The option that an answer names, `A` to `D`; None where it names none, or two by the same template.

    An answer that is only the letter, with or without markup, comes first; then the original's templates, in which the
    letter has to be a word of its own.
    """
    text = without_turn(answer.lower())
    plain = plain_letter(text, LETTERS)
    if plain:
        return plain.upper()
    starts = text.lstrip("*_ \n")
    for letter in LETTERS:
        if starts.startswith(tuple(letter + mark for mark in _PUNCTUATION)):
            return letter.upper()
    for template in CHOICE:
        named = [letter for letter in LETTERS if matches(template, text, letter, bounded=True)]
        if named:
            return named[0].upper() if len(named) == 1 else None
    return None


class Choice(Metric):
    """Accuracy over questions with four options.

    `strict`: an answer that names no option is wrong. `compat`: the original draws one of four options for it, right a
    quarter of the time; a missing answer is left out.
    """

    id = "choice[voicebench]"
    description = "Accuracy over four options by VoiceBench's templates (MMSU, OpenBookQA)"
    source = f"{SOURCE}: src/evaluator/mcq.py"
    needs = frozenset({"hypothesis", "text"})
    summaries = (
        Summary("accuracy", "mean", ("correct",), "%", "higher", 100.0),
        Summary("unparsed", "mean", ("unparsed",), "%", "lower", 100.0, headline=False),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `correct` and `unparsed`, 0 or 1; `correct` is 0.25 in `compat` where the original draws."""
        right, answer = _right(item.sample), response(item)
        ours, theirs = choice(answer), original_choice(answer)
        expected = 0.25 if theirs is None else float(theirs == right)
        return Value(
            parts={"correct": float(ours == right), "unparsed": float(ours is None)},
            compat={"correct": expected, "unparsed": float(theirs is None)},
            detail={"choice": ours, "compat_choice": theirs, "reference": right},
        )

    def failure(self, sample: Sample) -> dict[str, float]:
        return {"correct": 0.0, "unparsed": 1.0}


def _right(sample: Sample) -> str:
    right = reference(sample)
    if right not in ("A", "B", "C", "D"):
        raise BadData(f"Sample {sample.id}: the reference '{right}' is not A, B, C or D.", "Give the letter.")
    return right
