"""The rules an agent could have decided by: false cut-offs against latency for each threshold and action delay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from speech_eval.records import MetricResult, TaskResult
from speech_eval.signal.timeout_rule import PolicyPoint, pareto_front

if TYPE_CHECKING:
    from speech_eval.leaderboard.boards import Board, Row

TASK, AGENTS = "turn-taking-policy", "turn-taking"
_POINT = re.compile(r"(false-cut-offs|latency|missed) ([0-9.e-]+)/([0-9.e-]+)")
_NUMBERS = ("latency", "false-cut-offs", "missed")


def policies(boards: Sequence[Board]) -> Iterable[dict[str, Any]]:
    """A picture a board of `turn-taking-policy`: a curve a run, the front of each marked, and the agents that were
    measured in conversation on the same data."""
    for board in boards:
        if board.task != TASK:
            continue
        curves = [curve for row in board.rows if (curve := _curve(row))["points"]]
        if not curves:
            continue
        data = {row.result.dataset_sha256 for row in board.rows}
        yield {
            "id": f"policy-{board.anchor}",
            "kind": "policy",
            "title": "Cut off or kept waiting: every threshold and delay",
            "caption": "Each small point is a rule: act after so many seconds without speech, speech being a "
            "probability of at least the threshold. The line joins the rules that no other beats. Rules are timed from "
            "their decision, agents (the rings) from their sound: a chunk and the onset of speech come on top.",
            "axes": [
                {"name": "latency", "unit": "s", "direction": "lower", "title": TASK, "axis": ""},
                {"name": "false cut-offs", "unit": "%", "direction": "lower", "title": TASK, "axis": ""},
            ],
            "curves": curves,
            "agents": [agent for other in boards for row in other.rows if (agent := _agent(row, data))],
        }


def covered(boards: Sequence[Board]) -> set[str]:
    """The data whose agents stand in a picture of policies."""
    return {row.result.dataset_sha256 for board in boards if board.task == TASK for row in board.rows}


def is_point(metric: MetricResult) -> bool:
    """Whether a number is one point of a policy sweep: drawn, and too many for a table."""
    return metric.metric.startswith("turn-policy[") and _POINT.fullmatch(metric.name) is not None


def _curve(row: Row) -> dict[str, Any]:
    rules: dict[tuple[float, float], dict[str, list[float | None]]] = {}
    for metric in row.result.metrics:
        if is_point(metric) and (found := _POINT.fullmatch(metric.name)):
            rules.setdefault((float(found[2]), float(found[3])), {})[found[1]] = _triple(metric)
    points: list[dict[str, Any]] = [
        {"threshold": threshold, "delay": delay, "values": [numbers[name] for name in _NUMBERS]}
        for (threshold, delay), numbers in sorted(rules.items())
        if set(numbers) == set(_NUMBERS) and numbers["latency"][0] is not None
    ]
    front = {(rule.threshold, rule.timeout) for rule in pareto_front(map(_rule, points))}
    for point in points:
        point["front"] = (point["threshold"], point["delay"]) in front
    return {"model": row.run.results.model, "run": row.run.id, "points": points}


def _rule(point: dict[str, Any]) -> PolicyPoint:
    latency, cut, missed = (value for value, _, _ in point["values"])
    return PolicyPoint(point["threshold"], point["delay"], cut, None, missed, latency)


def _agent(row: Row, data: set[str]) -> dict[str, Any] | None:
    if row.result.task != AGENTS or row.result.dataset_sha256 not in data:
        return None
    values = [_named(row.result, name) for name in _NUMBERS[:2]]
    if any(value is None or value[0] is None for value in values):
        return None
    return {"model": row.run.results.model, "run": row.run.id, "values": values}


def _named(result: TaskResult, name: str) -> list[float | None] | None:
    return next((_triple(metric) for metric in result.metrics if metric.name == name), None)


def _triple(metric: MetricResult) -> list[float | None]:
    return [metric.strict.value, metric.strict.low, metric.strict.high]
