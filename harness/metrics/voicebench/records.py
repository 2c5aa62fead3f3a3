"""Fields of a sample that the VoiceBench metrics read."""

from __future__ import annotations

import re
from typing import Any

from speech_eval.metrics.base import BadData, ScoringItem, Unscorable
from speech_eval.records import Sample

SOURCE = "MatthewCYM/VoiceBench at 5338154"
_TURN = re.compile(r"^<[123]>")  # some models put the number of the turn before the answer


def response(item: ScoringItem) -> str:
    """The answer as text, which may be empty; raises `Unscorable` without an answer."""
    if item.hypothesis is None and item.output.status != "empty":
        raise Unscorable(f"Sample {item.sample.id} has no answer in text.", "Name a recognizer for speech answers.")
    return item.hypothesis or ""


def reference(sample: Sample) -> str:
    """The right answer; raises `BadData` where the sample has none."""
    if not (sample.text or "").strip():
        raise BadData(f"Sample {sample.id} has no reference answer.", "Give the record a `reference`.")
    return sample.text or ""


def field(sample: Sample, name: str) -> Any:
    """A field of the sample's metadata; raises `BadData` where it is missing."""
    if sample.metadata.get(name) is None:
        raise BadData(f"Sample {sample.id} has no `{name}`.", f"Give the record the field `{name}`.")
    return sample.metadata[name]


def question(sample: Sample) -> str:
    """The user's instruction as text, or the question about the recording, which the judge is shown."""
    for name in ("question", "instruction"):
        if sample.metadata.get(name) is not None:
            return str(sample.metadata[name])
    return str(sample.prompt_text if sample.prompt_text is not None else field(sample, "prompt"))


def without_turn(text: str) -> str:
    """The answer without the number of its turn, such as `<1>`, where it has one."""
    return text[3:].strip() if _TURN.match(text) else text
