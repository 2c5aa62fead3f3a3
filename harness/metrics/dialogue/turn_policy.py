"""All timeout rules on one agent's speech probabilities: false cut-offs against latency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unit, Value
from speech_eval.metrics.dialogue.aligned import columns_of, number
from speech_eval.records import Sample
from speech_eval.signal.timeout_rule import Turn, sweep

THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
DELAYS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)
RULES = tuple(f"{threshold:g}/{delay:g}" for threshold in THRESHOLDS for delay in DELAYS)
ALLOWED = 0.05  # share of turns that the fastest rule may cut off

Floats = NDArray[np.float64]


def _fastest(columns: dict[str, Floats], weights: Floats) -> Floats:
    """Mean latency of the fastest rule that cuts off at most `ALLOWED` of the turns and misses none."""
    total = weights.sum(axis=1)
    best = np.full(len(weights), np.inf)
    for rule in RULES:
        cut, missed, clean, late = (weights @ columns[f"{name} {rule}"] for name in ("cut", "missed", "clean", "late"))
        with np.errstate(divide="ignore", invalid="ignore"):
            latency = np.where(clean > 0, late / clean, np.inf)
        fits = (cut <= ALLOWED * total + 1e-9) & (missed == 0)
        best = np.minimum(best, np.where(fits, latency, np.inf))
    return best


def _points() -> tuple[Summary, ...]:
    made = []
    for rule in RULES:
        made += [
            Summary(f"false-cut-offs {rule}", "mean", (f"cut {rule}",), "%", "lower", 100.0, headline=False),
            Summary(f"latency {rule}", "ratio", (f"late {rule}", f"clean {rule}"), "s", "lower", headline=False),
            Summary(f"missed {rule}", "mean", (f"missed {rule}",), "%", "lower", 100.0, headline=False),
        ]
    return tuple(made)


class TurnPolicy(Metric):
    """The outcome of each rule of `speech_eval.signal.timeout_rule`.

    A rule is a threshold on the speech probability × seconds of quiet before it acts. Latency is of the decision, from
    the annotated end of the turn, over turns that are neither cut off nor missed. `latency-at-5%` chooses the rule on
    the same turns that it is measured on, so it is a lower bound.
    """

    id = "turn-policy[timeout-rule@1]"
    description = "False cut-offs and latency of every timeout rule, threshold × action delay, from one agent's scores"
    source = "This project; the sweep and its front: harness/signal/timeout_rule.py"
    columns = columns_of("turn_end")
    requires = (columns_of("turn_end"),)
    summaries = (
        Summary(
            name="latency-at-5%",
            estimator="function",
            parts=tuple(f"{name} {rule}" for rule in RULES for name in ("cut", "missed", "clean", "late")),
            unit="s",
            direction="lower",
            function=_fastest,
        ),
    )

    def score(self, item: ScoringItem) -> Value:
        """Reads `speech_probabilities` of the output and `turn_end` (seconds) of the sample. Parts of a rule:
        `cut`, `missed`, `clean` (0 or 1) and `late`, the seconds after the turn's end where it is clean."""
        turn_end = number(item.sample, "turn_end")
        said = item.output.speech_probabilities
        if turn_end is None or said is None:
            raise BadInput(
                f"Sample {item.sample.id}: no 'turn_end', or no 'probabilities' and 'frame_seconds' in the output.",
                "Run the task turn-taking-policy.",
            )
        turn = Turn(np.array(said.values, dtype=np.float64), turn_end)
        parts: dict[str, float] = {}
        for rule, point in zip(RULES, sweep([turn], THRESHOLDS, DELAYS, said.frame_seconds), strict=True):
            clean = point.latency is not None
            parts |= {f"cut {rule}": point.false_cut_offs, f"missed {rule}": point.missed}
            parts |= {f"clean {rule}": float(clean), f"late {rule}": round(point.latency or 0.0, 6)}
        return Value(parts)

    def failure(self, sample: Sample) -> dict[str, float]:
        """Cut off and missed by every rule, the worst of each."""
        worst = {"cut": 1.0, "missed": 1.0, "clean": 0.0, "late": 0.0}
        return {f"{name} {rule}": value for rule in RULES for name, value in worst.items()}

    def reported(self, units: Sequence[Unit]) -> Sequence[Summary]:
        """The fastest rule, then false cut-offs, latency and missed turns of every rule, `NAME threshold/delay`."""
        return (*self.summaries, *_points())
