"""Which of many runs on the same samples are better than which, from what each sample adds to a mean or a ratio.

This is the test behind the ranks of a board: the paired t-test of every two runs at once, by the linear part of the
ratio (delta method) over independent units, with Holm's correction over all pairs. For two runs
`analysis.compare` swaps their outputs at random instead; the two agree where there are twenty units or more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speech_eval.records import Formula, Sample

LEVEL = 0.05
LEAST_UNITS = 6  # fewer have no random swap of two runs that is rarer than 5 %
_AGREE = 1e-5  # relative: stored values have six decimals

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shares:
    """What each independent unit adds to one number of one run: `sums` [units, 2], numerator and denominator.
    `samples` is a digest of the samples' ids and clusters: runs with the same one can be paired."""

    samples: str
    sums: Floats


def clusters(samples: Sequence[Sample]) -> list[str]:
    """What is not independent, a label a sample: its conversation or other `cluster`, else its speaker, else itself.

    Where all samples share one speaker, that speaker is a condition of the number and the samples are what varies.
    """
    several = len({sample.speaker for sample in samples}) > 1
    return [
        sample.cluster or (f"speaker {sample.speaker}" if sample.speaker and several else f"sample {sample.id}")
        for sample in samples
    ]


def shares(
    formula: Formula | None, value: float | None, samples: Sequence[Sample], parts: Mapping[str, Mapping[str, float]]
) -> Shares | None:
    """The shares of one run's number. `parts` holds the stored parts of each sample by its id.

    None where the number is no mean or ratio, where a sample or a part is missing, where the parts do not give the
    stored `value` (a protocol that pools its samples), and for fewer than `LEAST_UNITS` units.
    """
    if formula is None or formula.estimator not in ("mean", "ratio") or value is None:
        return None
    ordered = sorted(samples, key=lambda sample: sample.id)
    try:
        columns = [[parts[sample.id][name] for sample in ordered] for name in formula.parts]
    except KeyError:
        return None
    labels = clusters(ordered)
    seen: dict[str, int] = {}
    groups = np.array([seen.setdefault(label, len(seen)) for label in labels], dtype=np.intp)
    under = columns[1] if formula.estimator == "ratio" else [1.0] * len(ordered)
    sums = np.zeros((len(seen), 2))
    np.add.at(sums, groups, np.array([columns[0], under], dtype=np.float64).T)
    total = sums.sum(axis=0)
    if len(sums) < LEAST_UNITS or total[1] == 0:
        return None
    if abs(formula.scale * total[0] / total[1] - value) > _AGREE * max(1.0, abs(value)):
        return None
    identity = "\n".join(f"{sample.id}\t{label}" for sample, label in zip(ordered, labels, strict=True))
    return Shares(hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest(), sums)


def ahead(runs: Sequence[Shares], *, lower_is_better: bool) -> NDArray[np.bool_]:
    """[run, other]: whether `other` is significantly better than `run`. All runs are on the same samples."""
    from scipy.special import stdtr

    count, units = len(runs), len(runs[0].sums)
    sums = np.stack([run.sums for run in runs])  # [run, unit, 2]
    totals = sums.sum(axis=1)
    values = totals[:, 0] / totals[:, 1]
    influence = (sums[:, :, 0] - values[:, None] * sums[:, :, 1]) * (units / totals[:, 1])[:, None]
    products = influence @ influence.T
    own = np.diagonal(products)
    spread = own[:, None] + own[None, :] - 2 * products
    # what is left of the squares of two equal runs is rounding
    spread = np.where(spread > 1e-12 * (own[:, None] + own[None, :]), spread, 0.0)
    error = np.sqrt(spread / (units * (units - 1)))
    difference = values[:, None] - values[None, :]
    first, second = np.triu_indices(count, 1)
    same = np.abs(difference[first, second]) <= 1e-12 * np.maximum(np.abs(values[first]), np.abs(values[second]))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(same, 0.0, np.abs(difference[first, second]) / error[first, second])
    told_apart = np.zeros((count, count), dtype=bool)
    told_apart[first, second] = _holm(2 * stdtr(units - 1, -t))
    told_apart |= told_apart.T
    worse = difference > 0 if lower_is_better else difference < 0
    return told_apart & worse


def _holm(p_values: Floats) -> NDArray[np.bool_]:
    """Which of the p-values stay below `LEVEL` after Holm's step-down correction."""
    order = np.argsort(p_values, kind="stable")
    failed = p_values[order] * np.arange(len(order), 0, -1) > LEVEL
    rejected = np.zeros(len(order), dtype=bool)
    rejected[order[: int(np.argmax(failed)) if failed.any() else len(order)]] = True
    return rejected
