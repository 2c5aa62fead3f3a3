"""The test behind the ranks of a board: which of many runs on the same samples are significantly better than which.

It is the paired t-test of every two runs at once, by the linear part of a mean or ratio (delta method) over
independent units, with Holm's correction over all pairs. For two runs `statistics.paired` swaps their outputs at random
instead; the two agree for twenty units or more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speech_eval.records import Formula, Sample
from speech_eval.statistics.multiple import holm
from speech_eval.statistics.summaries import Floats, Rows, Summary, cluster_sums, clusters, group

LEVEL = 0.05
LEAST_UNITS = 6  # fewer have no random swap of two runs that is rarer than 5 %
_AGREE = 1e-5  # relative: stored values have six decimals


@dataclass(frozen=True, eq=False)
class Shares:
    """The contribution of each independent unit to one number of one run: `sums` [units, 2], numerator and denominator.
    `samples` is a digest of the samples' ids and clusters; runs with equal digests can be paired."""

    samples: str
    sums: Floats


def shares(
    formula: Formula | None, value: float | None, samples: Sequence[Sample], parts: Mapping[str, Mapping[str, float]]
) -> Shares | None:
    """The shares of one run's number. `parts` holds the stored parts of each sample by its id.

    None where the number is neither mean nor ratio, where a sample or a part is missing, where the parts do not give
    the stored `value` (a protocol that pools its samples), and for fewer than `LEAST_UNITS` units.
    """
    if formula is None or formula.estimator not in ("mean", "ratio") or value is None:
        return None
    ordered = sorted(samples, key=lambda sample: sample.id)
    try:
        columns = {name: np.array([parts[sample.id][name] for sample in ordered]) for name in formula.parts}
    except KeyError:
        return None
    labels = clusters(ordered)
    summary = Summary("", formula.estimator, tuple(formula.parts), "", "lower")
    sums = cluster_sums(summary, Rows(columns, len(ordered)), group(labels))
    total = sums.sum(axis=0)
    if len(sums) < LEAST_UNITS or total[1] == 0:
        return None
    if abs(formula.scale * total[0] / total[1] - value) > _AGREE * max(1.0, abs(value)):
        return None
    identity = "\n".join(f"{sample.id}\t{label}" for sample, label in zip(ordered, labels, strict=True))
    return Shares(hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest(), sums)


def ahead(runs: Sequence[Shares], *, lower_is_better: bool, numbers: int = 1) -> NDArray[np.bool_]:
    """[run, other]: whether `other` is significantly better than `run`. All runs are on the same samples.

    Where a table shows `numbers` numbers per run, this number's tests are corrected as part of that larger family.
    """
    from scipy.special import stdtr

    count, units = len(runs), len(runs[0].sums)
    sums = np.stack([run.sums for run in runs])  # [run, unit, 2]
    totals = sums.sum(axis=1)
    values = totals[:, 0] / totals[:, 1]
    influence = (sums[:, :, 0] - values[:, None] * sums[:, :, 1]) * (units / totals[:, 1])[:, None]
    products = influence @ influence.T
    own = np.diagonal(products)
    spread = own[:, None] + own[None, :] - 2 * products
    # the squares of two equal runs differ by rounding alone
    spread = np.where(spread > 1e-12 * (own[:, None] + own[None, :]), spread, 0.0)
    error = np.sqrt(spread / (units * (units - 1)))
    difference = values[:, None] - values[None, :]
    first, second = np.triu_indices(count, 1)
    same = np.abs(difference[first, second]) <= 1e-12 * np.maximum(np.abs(values[first]), np.abs(values[second]))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(same, 0.0, np.abs(difference[first, second]) / error[first, second])
    told_apart = np.zeros((count, count), dtype=bool)
    p_values = 2 * stdtr(units - 1, -t)
    others = np.ones(len(p_values) * (numbers - 1))
    told_apart[first, second] = holm(np.concatenate([p_values, others]))[: len(p_values)] <= LEVEL
    told_apart |= told_apart.T
    worse = difference > 0 if lower_is_better else difference < 0
    return told_apart & worse
