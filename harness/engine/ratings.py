"""What people said of outputs in listening tests, and which of it counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from speech_eval.records import SCHEMA_VERSION, Record


class Rating(Record):
    """What one person said of one output: `value` for the metric that it feeds, or free `text`.

    `output` is the digest of the rated output's line, `test` that of the listening test, `rater` a random name.
    `excluded` says why the rating does not count; empty where it does. A later line of the same test, metric, rater and
    sample replaces an earlier one.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    metric: str
    output: str
    test: str
    rater: str
    value: float | None = None
    text: str = ""
    excluded: str = ""


@dataclass(frozen=True)
class Heard:
    """The votes on one output by one metric, by rater, in one listening test."""

    test: str
    votes: dict[str, float] = field(default_factory=dict)


def newest(ratings: Iterable[Rating]) -> list[Rating]:
    """The newest rating of each (test, metric, rater, sample id), in the order of their lines."""
    found: dict[tuple[str, ...], Rating] = {}
    for rating in ratings:
        key = (rating.test, rating.metric, rating.rater, rating.id)
        found.pop(key, None)
        found[key] = rating
    return list(found.values())


def heard_of(ratings: Sequence[Rating], digests: Mapping[str, str]) -> dict[str, dict[str, Heard]]:
    """The votes that count, by sample and metric: those of the test that was added last, on the outputs as they are
    now (`digests`, by sample). Ratings of different tests are not comparable and never mixed."""
    last = {rating.metric: rating.test for rating in ratings}
    found: dict[str, dict[str, Heard]] = {}
    for rating in ratings:
        current = rating.test == last[rating.metric] and digests.get(rating.id) == rating.output
        if current and not rating.excluded and rating.value is not None:
            own = found.setdefault(rating.id, {}).setdefault(rating.metric, Heard(rating.test))
            own.votes[rating.rater] = rating.value
    return found
