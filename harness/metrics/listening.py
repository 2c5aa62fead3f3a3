"""What people say of outputs in listening tests (`speech-eval listen`), as metrics of a run.

A run stores every rating. A sample's score holds the vote of each rater, so that intervals are clustered by rater and
by sample. Samples that nobody rated are in no number: a test asks about some samples of a task.
"""

from __future__ import annotations

from math import fsum, inf
from typing import Literal, NoReturn

from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Value
from speech_eval.records import Sample

_BY = "by "


def _mean(
    name: str, unit: str, bounds: tuple[float, float], direction: Literal["lower", "higher"] = "higher"
) -> Summary:
    scale = 100.0 if unit == "%" else 1.0
    return Summary(name, "ratio", ("sum", "votes"), unit, direction, scale, crossed=_BY, bounds=bounds)


class _Rated(Metric):
    """The mean over votes. Parts: `sum` and `votes`, and the vote of each rater."""

    needs = frozenset({"ratings"})

    def score(self, item: ScoringItem) -> Value:
        """Raises `BadData` for a sample that nobody rated, and for a vote that the scale does not have."""
        votes = dict(item.ratings or {})
        if not votes:
            self.failure(item.sample)
        summary = self.summaries[0]
        low, high = summary.bounds or (-inf, inf)
        for vote in (summary.scale * given for given in votes.values()):
            if not low <= vote <= high:
                raise BadData(
                    f"Sample {item.sample.id} has a vote of {vote:g} on a scale from {low:g} to {high:g}.",
                    "Remove its lines from the folder ratings of the run, and import the answers again.",
                )
        named = {f"{_BY}{rater}": float(vote) for rater, vote in sorted(votes.items())}
        return Value({"sum": fsum(named.values()), "votes": float(len(votes)), **named})

    def failure(self, sample: Sample) -> NoReturn:
        """Raises `BadData`: only outputs that exist are rated."""
        raise BadData(f"Sample {sample.id} was not rated.", "Add answers: speech-eval listen import TEST RUN.")


class MeanOpinion(_Rated):
    """Absolute category rating of quality: bad 1, poor 2, fair 3, good 4, excellent 5."""

    id = "mos[human-acr@1]"
    description = "Mean opinion score of listeners, 1 to 5"
    source = "ITU-T P.800, absolute category rating"
    summaries = (_mean("mos", "MOS", (1, 5)),)


class SpeakerSimilarity(_Rated):
    """Similarity of the speaker to that of the voice prompt or recording, 1 to 5."""

    id = "smos[human@1]"
    description = "Similarity of the speaker as listeners hear it, 1 to 5"
    source = "five-point scale of the Blizzard and Voice Conversion Challenges"
    summaries = (_mean("smos", "SMOS", (1, 5)),)


class Comparison(_Rated):
    """Comparison category rating against the other systems of the test, from -3, much worse, to 3, much better."""

    id = "cmos[human-ccr@1]"
    description = "Comparison opinion score of listeners against the other systems of the test, -3 to 3"
    source = "ITU-T P.800, comparison category rating"
    summaries = (_mean("cmos", "CMOS", (-3, 3)),)


class Preference(_Rated):
    """Share of comparisons with the other systems of the test in which it is preferred; no preference counts half."""

    id = "preference[human-ab@1]"
    description = "How often listeners prefer it to the other systems of the test"
    source = "A/B preference test; no preference counts half"
    summaries = (_mean("preference", "%", (0, 100)),)


class ABX(_Rated):
    """Share of ABX trials in which listeners tell it from the other systems of the test; 50 % is chance."""

    id = "abx[human@1]"
    description = "How often listeners tell it from the other systems of the test; 50 % is chance"
    source = "Munson and Gardner 1950, ABX"
    summaries = (_mean("told apart", "%", (0, 100), "lower"),)


class Mushra(_Rated):
    """Quality from 0 to 100 beside a hidden reference and an anchor."""

    id = "mushra[human@1]"
    description = "Quality beside a hidden reference and an anchor as listeners hear it, 0 to 100"
    source = "ITU-R BS.1534-3"
    summaries = (_mean("mushra", "points", (0, 100)),)


class SameWords(_Rated):
    """Share of listeners who hear exactly the words of the text."""

    id = "same-words[human@1]"
    description = "How often listeners hear exactly the words of the text"
    source = "yes or no beside the text"
    summaries = (_mean("same words", "%", (0, 100)),)


_RATED: tuple[type[_Rated], ...] = (
    MeanOpinion,
    SpeakerSimilarity,
    Comparison,
    Preference,
    ABX,
    Mushra,
    SameWords,
)
# The number that each metric reports, by its id.
NUMBERS: dict[str, Summary] = {metric.id: metric.summaries[0] for metric in _RATED}
IDS = frozenset(NUMBERS)
