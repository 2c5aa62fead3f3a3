"""Classes of speech, such as emotions: accuracy, unweighted average recall, and weighted F1."""

from __future__ import annotations

import zlib

import numpy as np

from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.choices.options import COLUMNS, chosen, key_of, options_of
from speech_eval.records import Sample
from speech_eval.statistics.summaries import Floats

_NONE = -1.0  # the class of an answer that names none


def _recalls(columns: dict[str, Floats], weights: Floats) -> tuple[list[Floats], list[Floats], list[Floats]]:
    """Recall, precision and weight of every class of the references, each [resamples]."""
    recalls, precisions, shares = [], [], []
    for code in np.unique(columns["truth"]):
        inside, guessed = columns["truth"] == code, columns["guess"] == code
        hits = weights[:, inside & guessed].sum(axis=1)
        shares.append(weights[:, inside].sum(axis=1))
        with np.errstate(divide="ignore", invalid="ignore"):
            recalls.append(hits / shares[-1])
            precisions.append(np.nan_to_num(hits / weights[:, guessed].sum(axis=1)))
    return recalls, precisions, shares


def _uar(columns: dict[str, Floats], weights: Floats) -> Floats:
    """The mean of the recalls of the classes of the references; a class that a resample leaves out does not count."""
    recalls = np.stack(_recalls(columns, weights)[0])
    known = np.isfinite(recalls)
    return np.asarray(np.where(known, recalls, 0.0).sum(axis=0) / known.sum(axis=0))


def _weighted_f1(columns: dict[str, Floats], weights: Floats) -> Floats:
    total, count = np.zeros(len(weights)), np.zeros(len(weights))
    for recall, precision, share in zip(*_recalls(columns, weights), strict=True):
        known = np.nan_to_num(recall)
        both = known + precision
        total += share * np.where(both > 0, 2 * known * precision / np.where(both > 0, both, 1.0), 0.0)
        count += share
    return np.asarray(total / count)


class Labels(Metric):
    """The class that an answer names against the reference. An answer that names none, or several, misses its class.

    The recall is averaged over the classes that occur in the references, so that a class which only answers name does
    not lower it. A sample has its classes as `choices`.
    """

    id = "labels[classes@1]"
    description = "Accuracy, unweighted average recall (UAR) and weighted F1 over named classes, such as emotions"
    source = "this project; UAR as in the INTERSPEECH ComParE challenges"
    needs = frozenset({"hypothesis", "text"})
    columns = COLUMNS
    requires = (frozenset({"choices", "choice_a"}),)
    summaries = (
        Summary("uar", "function", ("truth", "guess"), "%", "higher", 100.0, function=_uar),
        Summary("accuracy", "mean", ("correct",), "%", "higher", 100.0),
        Summary("weighted-f1", "function", ("truth", "guess"), "%", "higher", 100.0, function=_weighted_f1),
        Summary("unparsed", "mean", ("unparsed",), "%", "lower", 100.0, headline=False),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `truth` and `guess` are numbers of the classes, `correct` and `unparsed` 0 or 1."""
        if item.hypothesis is None and item.output.status != "empty":
            raise Unscorable(f"Sample {item.sample.id} has no answer in text.", "Name a recognizer for speech answers.")
        options = options_of(item.sample)
        key, found = key_of(item.sample, options), chosen(item.hypothesis or "", options)
        guess = _NONE if found is None else _code(options[found])
        return Value(
            parts={
                "truth": _code(options[key]),
                "guess": guess,
                "correct": float(found == key),
                "unparsed": float(found is None),
            },
            detail={"class": None if found is None else options[found], "reference": options[key]},
        )

    def failure(self, sample: Sample) -> dict[str, float]:
        options = options_of(sample)
        return {"truth": _code(options[key_of(sample, options)]), "guess": _NONE, "correct": 0.0, "unparsed": 1.0}

    def compat_failure(self, sample: Sample) -> dict[str, float] | None:
        return self.failure(sample)


def _code(name: str) -> float:
    """A number that names a class in every process."""
    return float(zlib.crc32(name.strip().casefold().encode()))
