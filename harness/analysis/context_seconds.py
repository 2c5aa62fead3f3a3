"""How many seconds of speech fill a language model's context, from the positions per second of `token-bill`."""

from __future__ import annotations

from speech_eval.records import Estimate, MetricResult, TaskResult
from speech_eval.statistics.summaries import finite

TOKEN_BILL = "token-bill[layouts@1]"
CONTEXTS = (2048, 8192, 32_768, 131_072)  # positions
HEADLINE = 8192
_RATES = "positions/s"  # the unit of the numbers that a context is divided by


def with_context_seconds(task: TaskResult) -> TaskResult:
    """The task with `context-N-LAYOUT` in seconds after its token bill, for each context of `CONTEXTS` and each layout;
    the same task where it has no token bill."""
    rates = [m for m in task.metrics if m.metric == TOKEN_BILL and m.unit == _RATES]
    made = [_context(context, rate) for context in CONTEXTS for rate in rates]
    return task.model_copy(update={"metrics": [*task.metrics, *made]}) if made else task


def _context(context: int, rate: MetricResult) -> MetricResult:
    return MetricResult(
        metric=rate.metric,
        name=f"context-{context}-{rate.name}",
        unit="s",
        direction="higher",
        headline=rate.headline and context == HEADLINE,
        axis=rate.axis,
        strict=_inverse(context, rate.strict),
        compat=_inverse(context, rate.compat),
    )


def _inverse(context: int, rate: Estimate) -> Estimate:
    value, low, high = (finite(context / end) if end else None for end in (rate.value, rate.high, rate.low))
    return Estimate(value=value, low=low, high=high, n=rate.n)
