"""Use of a codec's codebooks over all recordings together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unit, Value
from speech_eval.metrics.codec.counts import read_counts
from speech_eval.metrics.codec.pairs import codes_of
from speech_eval.records import Sample

Floats = NDArray[np.float64]
Columns = dict[str, Floats]


def _whole(over: str, under: str) -> Callable[[Columns, Floats], Floats]:
    """A ratio of counts over the corpus, without an interval: a resample repeats recordings and so uses no new code."""

    def share(columns: Columns, weights: Floats) -> Floats:
        as_it_is = (weights == 1).all(axis=1)
        return np.where(as_it_is, columns[over].max() / columns[under].max(), np.nan)

    return share


def _perplexity(bits: str, codes: str) -> Callable[[Columns, Floats], Floats]:
    return lambda columns, weights: np.exp2((weights @ columns[bits]) / (weights @ columns[codes]))


def _level(number: int) -> tuple[Summary, ...]:
    """The numbers of one codebook, counted from 1."""
    used, size, bits, codes = (f"{name}-{number}" for name in ("used", "size", "bits", "codes"))
    return (
        Summary(
            name=f"usage-{number}",
            estimator="function",
            parts=(used, size),
            unit="%",
            direction="higher",
            scale=100.0,
            headline=False,
            function=_whole(used, size),
        ),
        Summary(f"entropy-{number}", "ratio", (bits, codes), "bit/code", "higher", headline=False),
        Summary(
            name=f"perplexity-{number}",
            estimator="function",
            parts=(bits, codes),
            unit="codes",
            direction="higher",
            headline=False,
            function=_perplexity(bits, codes),
        ),
    )


class CodebookUse(Metric):
    """Usage, entropy and perplexity of all codebooks and of each, from the pooled codes of all recordings.

    Entropy is of order zero, by the pooled histogram. Each code contributes minus the logarithm of its share, so the
    entropy is a mean over codes, and its interval resamples recordings with the shares held fixed: the first-order
    interval (by the influence function), since the histogram of a resample has fewer codes, which biases both ends.
    Usage has no interval for the same reason. With few codes per entry (`codes-per-entry` below about ten), usage and
    entropy are too low and reflect the size of the corpus.
    """

    id = "codebook[corpus@1]"
    description = "Share of codes in use, entropy and perplexity over all recordings, overall and by codebook"
    source = "Shannon 1948; interval by the influence function of the entropy"
    needs = frozenset({"audio"})
    summaries = (
        Summary("usage", "function", ("used", "size"), "%", "higher", 100.0, function=_whole("used", "size")),
        Summary("entropy", "ratio", ("bits", "codes"), "bit/code", "higher"),
        Summary("efficiency", "ratio", ("bits", "nominal"), "%", "higher", 100.0),
        Summary("corpus-bitrate", "ratio", ("bits", "seconds"), "kbit/s", "lower", 1e-3, headline=False),
        Summary(
            name="codes-per-entry",
            estimator="function",
            parts=("all-codes", "size"),
            unit="",
            direction="higher",
            headline=False,
            function=_whole("all-codes", "size"),
        ),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: those of a corpus of this one recording. Detail: what pooling needs, `seconds` and a record a level.
        Raises `BadInput` where the output states no counts."""
        codes = codes_of(item)
        levels = [book.model_dump(include={"frames", "size", "counts"}) for book in codes.codebooks]
        counts = [read_counts(level) for level in levels]
        parts = _parts(counts, counts, codes.seconds)
        kept = {name: parts[name] for name in self.failure(item.sample)}
        return Value(parts=kept, detail={"seconds": codes.seconds, "levels": levels})

    def failure(self, sample: Sample) -> dict[str, float]:
        """No code over no time: a lost output uses nothing, and its quality is what it is punished by."""
        return dict.fromkeys(("used", "size", "bits", "nominal", "codes", "all-codes", "seconds"), 0.0)

    def pool(self, units: Sequence[Unit]) -> Sequence[Unit]:
        """The same units, their bits by the shares of the pooled codes; parts of level k end in `-k`, from 1."""
        counts = [[read_counts(level) for level in unit.detail.get("levels", [])] for unit in units]
        depth = max((len(levels) for levels in counts), default=0)
        if depth == 0:
            return units
        pooled = [sum(levels[k] for levels in counts if len(levels) > k) for k in range(depth)]
        return [self._pooled(unit, levels, pooled) for unit, levels in zip(units, counts, strict=True)]

    def _pooled(self, unit: Unit, counts: Sequence[Any], pooled: Sequence[Any]) -> Unit:
        empty = [np.zeros_like(book) for book in pooled]
        parts = _parts(counts or empty, pooled, float(unit.detail.get("seconds", 0.0)))
        return replace(unit, strict=parts, compat=None if unit.compat is None else parts)

    def reported(self, units: Sequence[Unit]) -> Sequence[Summary]:
        """The numbers of all levels together, then those of each."""
        depth = sum(1 for part in (units[0].strict if units else {}) if part.startswith("size-"))
        return (*self.summaries, *(summary for k in range(1, depth + 1) for summary in _level(k)))


def _parts(counts: Sequence[Any], pooled: Sequence[Any], seconds: float) -> dict[str, float]:
    """One recording's codes and bits by the shares of `pooled`; what is used of the books, and how many codes went into
    that, are of `pooled` itself and the same for every recording."""
    parts = {"seconds": seconds, "nominal": 0.0, "all-codes": float(sum(book.sum() for book in pooled))}
    totals = dict.fromkeys(("used", "size", "bits", "codes"), 0.0)
    for number, (own, book) in enumerate(zip(counts, pooled, strict=True), 1):
        occurring = book > 0
        spent = -(own[occurring] * np.log2(book[occurring] / book.sum())).sum()
        level = {"used": occurring.sum(), "size": len(book), "bits": spent, "codes": own.sum()}
        parts["nominal"] += float(own.sum() * np.log2(len(book)))
        for name, value in level.items():
            parts[f"{name}-{number}"] = float(value)
            totals[name] += float(value)
    return parts | totals
