"""VoiceBench's four sub-tasks of BIG-Bench Hard: two possible answers each, read by templates."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Value
from speech_eval.metrics.voicebench import bbh_templates as tables
from speech_eval.metrics.voicebench.patterns import matches, plain_letter
from speech_eval.metrics.voicebench.records import SOURCE, reference, response
from speech_eval.records import Sample

# In the order in which the original looks for the names in a sample's id.
_TABLES: dict[str, tuple[str | tuple[str, int], ...]] = {
    "sports_understanding": tables.YES_NO + tables.SPORTS_UNDERSTANDING,
    "hyperbaton": tables.HYPERBATON,
    "navigate": tables.YES_NO + tables.NAVIGATE,
    "web_of_lies": tables.YES_NO + tables.WEB_OF_LIES,
}
_VALUES = {"yes": 1, "no": 0, "(a)": 0, "(b)": 1}
# Entries whose value is reversed in the original.
_CORRECTED = {"«b»": 1, "must be lying»": 0, "the sentence … is not plausible": 0}
_BLANKED = str.maketrans(dict.fromkeys(':"-,.：', " "))


def original_answer(answer: str, subset: str) -> int | None:
    """1 for yes, true or (b), 0 for no, false or (a) as the original reads it; None where it would draw at random."""
    text = _normalize(answer)
    for pattern, letter, value in _rules(subset):
        if matches(pattern, text, letter, bounded=False):
            return value
    return None


def answer_of(answer: str, subset: str) -> int | None:
    """The same by the same templates at word boundaries, with three reversed values corrected.

    An apostrophe separates words here, as the templates expect; a single letter is an answer.
    """
    text = _normalize(answer.replace("’", "'").replace("'", " "))
    if subset == "hyperbaton" and (letter := plain_letter(text, "ab")):
        return int(letter == "b")
    for pattern, letter, value in _rules(subset):
        if matches(pattern.rstrip("."), text, letter, bounded=True):
            return _CORRECTED.get(pattern, value)
    return None


@cache
def _rules(subset: str) -> tuple[tuple[str, str, int], ...]:
    """Pattern, letter and value, in order."""

    def expand() -> Iterator[tuple[str, str, int]]:
        for entry in _TABLES[subset]:
            if isinstance(entry, str):
                yield from ((entry, "a", 0), (entry, "b", 1))
            else:
                yield entry[0], "", entry[1]

    return tuple(expand())


def _normalize(answer: str) -> str:
    """Lower case, without markup, most punctuation and the marks that some models put around an answer."""
    text = answer.lower()
    if text.endswith("<|user|>"):
        text = text[:-8].strip()
    if text.startswith(("<1>", "<2>", "<3>")):
        text = text[3:].strip()
    text = text.replace("<|turn_end|>", "").replace("**", " ")
    return " ".join(text.translate(_BLANKED).split())


class BBH(Metric):
    """Accuracy over the sub-tasks hyperbaton, navigate, sports_understanding and web_of_lies.

    A sample names its sub-task in its id or its `subset`. `strict`: an unreadable answer is wrong. `compat`: the
    original draws one of two answers for it, right half of the time; a missing answer is left out.
    """

    id = "bbh[voicebench]"
    description = "Accuracy over yes/no and A/B answers by VoiceBench's templates (BBH)"
    source = f"{SOURCE}: src/evaluator/bbh.py"
    needs = frozenset({"hypothesis", "text"})
    columns = frozenset({"id", "subset"})
    summaries = (
        Summary("accuracy", "mean", ("correct",), "%", "higher", 100.0),
        Summary("unparsed", "mean", ("unparsed",), "%", "lower", 100.0, headline=False),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `correct` and `unparsed`, 0 or 1; `correct` is 0.5 in `compat` where the original draws."""
        subset, right, answer = _subset(item.sample), _right(item.sample), response(item)
        ours, theirs = answer_of(answer, subset), original_answer(answer, subset)
        return Value(
            parts={"correct": float(ours == right), "unparsed": float(ours is None)},
            compat={
                "correct": 0.5 if theirs is None else float(theirs == right),
                "unparsed": float(theirs is None),
            },
            detail={"subset": subset, "answer": ours, "compat_answer": theirs, "reference": right},
        )

    def failure(self, sample: Sample) -> dict[str, float]:
        return {"correct": 0.0, "unparsed": 1.0}


def _subset(sample: Sample) -> str:
    name = f"{sample.id} {sample.metadata.get('id', '')} {sample.metadata.get('subset', '')}"
    for subset in _TABLES:
        if subset in name:
            return subset
    raise BadData(
        f"Sample {sample.id} names no sub-task of BBH in its id or `subset`.", f"Use {', '.join(sorted(_TABLES))}."
    )


def _right(sample: Sample) -> int:
    right = reference(sample).lower()
    if right not in _VALUES:
        raise BadData(f"Sample {sample.id}: the reference '{right}' is not yes, no, (A) or (B).", "Give one of them.")
    return _VALUES[right]
