"""What an agent does about speech that overlaps its own, in the four tags of Full-Duplex-Bench v1.5's judge."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Literal

import numpy as np

from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.dialogue.aligned import field, has, replies
from speech_eval.metrics.dialogue.overlap import SOURCE
from speech_eval.metrics.dialogue.turn_taking import Columns, Floats
from speech_eval.records import Sample

RESPOND, RESUME, UNCERTAIN, UNKNOWN = TAGS = ("C_RESPOND", "C_RESUME", "C_UNCERTAIN_HANDLING", "C_UNKNOWN")
KEY = "behaviour"


def tags_in(reply: str, *keys: str) -> Any:
    """The value of the first of `keys` in the first JSON object of the reply that has one at its top level; None where
    no object has."""
    decoder = json.JSONDecoder()
    for at in (index for index, character in enumerate(reply) if character == "{"):
        try:
            found, _ = decoder.raw_decode(reply, at)
        except (json.JSONDecodeError, RecursionError):
            continue
        if key := next((key for key in keys if key in found), None):
            return found[key]
    return None


def tag_of(given: Any) -> str | None:
    """The one tag that is stated, as text or as a list of one; None for anything else."""
    found = given[0] if isinstance(given, list) and len(given) == 1 else given
    return found if found in TAGS else None


def behavior(sample: Sample) -> str | None:
    """The tag of a sample in its field `behavior`, or that of the first reply in `judge` that states one; None where no
    tag is stated."""
    return next((tag for tag in map(tag_of, _stated(sample, KEY, "behavior")) if tag), None)


def _stated(sample: Sample, *keys: str) -> list[Any]:
    if has(sample, "behavior"):
        return [field(sample, "behavior")]
    return [tags_in(reply, *keys) for reply in replies(sample)]


def _share(tag: str, columns: Columns, weights: Floats) -> Floats:
    """Tags of one kind over all tags; rounded to two decimals, and undefined with a reply that stops it, in the
    original."""
    value = (weights @ columns[tag]) / (weights @ columns["tags"])
    original = columns["original"].any()
    value = np.array([round(float(share), 2) for share in value]) if original else value
    return np.where(weights @ columns["crash"] > 0, np.nan, value)


_PARTS = ("tags", "crash", "original")


def _summary(tag: str, direction: Literal["lower", "higher"]) -> Summary:
    return Summary(tag, "function", (tag, *_PARTS), "", direction, function=partial(_share, tag))


class Behavior(Metric):
    """The share of each tag: the agent responds to the overlapping speech, resumes what it was saying, is uncertain, or
    none of these. Which one is right depends on the scenario: an interruption wants a response, a backchannel that the
    agent resumes.

    `strict` is over all samples, and a sample without exactly one tag has none. `compat` is over all tags.
    """

    id = "behavior[fdb@1.5]"
    description = "Behavior at overlapping speech by a judge's tags: responds, resumes, is uncertain, or unknown"
    source = f"{SOURCE}, eval_behavior.py"
    summaries = (
        _summary(RESPOND, "higher"),
        _summary(RESUME, "higher"),
        _summary(UNCERTAIN, "lower"),
        _summary(UNKNOWN, "lower"),
        Summary("unread", "mean", ("unread",), "%", "lower", 100.0, headline=False),
    )

    def score(self, item: ScoringItem) -> Value:
        """Reads `judge`, a reply or a list of replies, or `behavior`, the tags themselves. Raises `Unscorable` for a
        null field."""
        sample = item.sample
        if field(sample, "behavior" if has(sample, "behavior") else "judge") is None:
            raise Unscorable(f"Sample {sample.id}: no reply of the judge.", "Ask the judge, and fill in 'judge'.")
        tag = behavior(sample)
        return Value(_parts(tag), {"behavior": tag}, _original(_stated(sample, KEY)))

    def failure(self, sample: Sample) -> dict[str, float]:
        """No tag."""
        return _parts(None)


def _parts(tag: str | None) -> dict[str, float]:
    counts = {name: float(name == tag) for name in TAGS}
    return {**counts, "tags": 1.0, "crash": 0.0, "original": 0.0, "unread": float(tag is None)}


def _original(stated: list[Any]) -> dict[str, float]:
    """The original's count: it asks until a reply has the key, and then raises for a text in place of a list, and for
    an unknown tag."""
    tags = next((value for value in stated if value is not None), None)
    crash = not isinstance(tags, list) or any(tag not in TAGS for tag in tags)
    known = [] if crash or not isinstance(tags, list) else tags
    counts = {name: float(known.count(name)) for name in TAGS}
    return {**counts, "tags": float(len(known)), "crash": float(crash), "original": 1.0, "unread": 0.0}
