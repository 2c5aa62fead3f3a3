"""Spoken-MQA: spoken arithmetic and word problems, whose answer is a number, as AudioBench reads it."""

from __future__ import annotations

import math
import re
from typing import Any

from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.spoken_qa import number_of, numbers_of
from speech_eval.records import Sample

_TRIGGERS = ("The answer is:", "The answer is", "the answer is", "####")
_NUMBER = re.compile(r"-?\d+/?\.?\d*")
_QUOTIENT = re.compile(r"(-?)(0+|[1-9][0-9]*)/(0+|[1-9][0-9]*|\.[0-9]+)")
_LONGEST = 100


def original_number(answer: str) -> str:
    """The number of an answer as the original has it, as text: the first after the last trigger, else the last one.
    `empty` for an answer without a number."""
    text = answer.strip("\n")
    if any(text.count(trigger) > 1 for trigger in _TRIGGERS):
        text = text.split("\n\n")[0]
    pieces = re.split("|".join(_TRIGGERS), text)
    last = pieces[-1].strip("\n").rstrip(".").rstrip("/").strip(" ").replace(",", "")
    found = [without_zeros(number) for number in _NUMBER.findall(last)]
    chosen = (found[0] if len(pieces) > 1 else found[-1]) if found else ""
    return (chosen.rstrip(".").rstrip("/") or "empty")[:_LONGEST]


def without_zeros(number: str) -> str:
    """A number as Python writes it, without zeros at its end, a fraction as its value; another text as it is."""
    try:
        value = float(number)
    except ValueError:
        quotient = _quotient(number)
        if quotient is None:
            return number
        value = quotient
    text = str(value).rstrip("0")
    return str(int(text.rstrip("."))) if text.endswith(".") else str(float(text))


def _quotient(text: str) -> float | None:
    match = _QUOTIENT.fullmatch(text)
    try:
        above, below = (match[1] + match[2], match[3]) if match else ("", "")
        return int(above) / (float(below) if below.startswith(".") else int(below))
    except (ValueError, ArithmeticError):
        return None


class SpokenMath(Metric):
    """Share of the problems answered with the right number.

    `strict`: the number after "####" or "the answer is", the one that the answer begins with, or its last one, in words
    or digits, equals one of the keys. `compat`: numbers in digits alone, equal as text to the first key; a missing
    answer is wrong (the original takes the answer before it, or ends).
    """

    id = "accuracy[spoken-mqa@e991641]"
    description = "Share of spoken arithmetic and word problems answered with the right number (Spoken-MQA)"
    source = "AudioLLMs/AudioBench at e991641: src/dataset_src/spoken_mqa.py, math_utils/utils.py"
    needs = frozenset({"hypothesis", "text"})
    columns = frozenset({"keys", "kind"})
    summaries = (
        Summary("accuracy", "mean", ("correct",), "%", "higher", 100.0),
        Summary("unparsed", "mean", ("unparsed",), "%", "lower", 100.0, headline=False),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `correct` and `unparsed`, 0 or 1."""
        if item.hypothesis is None and item.output.status != "empty":
            raise Unscorable(f"Sample {item.sample.id} has no answer in text.", "Name a recognizer for speech answers.")
        answer, keys = item.hypothesis or "", _keys(item.sample)
        ours, theirs = number_of(answer.split("####")[-1]), original_number(answer)
        right = ours is not None and any(math.isclose(ours, _value(item.sample, key), abs_tol=1e-9) for key in keys)
        matches = theirs.lower() == _original_key(item.sample, keys[0]).lower()
        return Value(
            parts={"correct": float(right), "unparsed": float(ours is None)},
            compat={"correct": float(matches), "unparsed": float(theirs == "empty")},
            detail={"number": ours, "compat_number": theirs, "reference": keys[0]},
        )

    def failure(self, sample: Sample) -> dict[str, float]:
        return {"correct": 0.0, "unparsed": 1.0}

    def compat_failure(self, sample: Sample) -> dict[str, float] | None:
        return self.failure(sample)


def _keys(sample: Sample) -> list[str]:
    given: Any = sample.metadata.get("keys")
    keys = [str(key) for key in given] if isinstance(given, list) else [sample.text or ""]
    if not keys or not keys[0].strip():
        raise BadData(f"Sample {sample.id} has no reference answer.", "Give the record a `reference`.")
    return keys


def _value(sample: Sample, key: str) -> float:
    """The number of a key; in worked solutions it follows `####`."""
    found = numbers_of(key.split("####")[-1])
    if not found:
        raise BadData(f"Sample {sample.id}: the reference '{key:.60}' has no number.", "Correct the data.")
    return found[-1]


def _original_key(sample: Sample, key: str) -> str:
    """A key as the original compares it: in the sets of reasoning, the number after `####` without zeros at its end."""
    if "####" in key:
        return without_zeros(key.split("#### ")[-1].replace(",", ""))
    return without_zeros(key) if sample.metadata.get("kind") == "reasoning" else key
