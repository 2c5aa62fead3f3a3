"""Boards: runs of one task that may stand side by side, best first, with ranks that respect their intervals."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness import report
from harness.calibration import NOT_CALIBRATED, uncalibrated
from harness.types import Estimate, MetricResult, TaskResult
from leaderboard.runs import Run, slug

_Key = tuple[object, ...]


@dataclass(frozen=True)
class Bar:
    """Positions of an interval and its value on the board's scale, in percent of its width."""

    low: float
    high: float
    value: float


@dataclass(frozen=True)
class Cell:
    """A metric of a run, as text; `compat` only where it differs, `note` where another scorer made the number."""

    value: str
    interval: str
    sort: float | None
    compat: str = ""
    note: str = ""
    bar: Bar | None = None


@dataclass(frozen=True)
class Column:
    """A number of a board. `places` is the decimals that the most precise interval of the column supports."""

    metric: str
    summary: str
    name: str
    title: str
    unit: str
    direction: str
    primary: bool
    headline: bool
    scorer: str
    places: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Mark:
    """A word that keeps a row from being read like the others, and what it means."""

    text: str
    meaning: str


@dataclass(frozen=True)
class Row:
    """A run on a board. `rank` is None for a subset and for the human recordings; `tied` where a rank is shared."""

    run: Run
    result: TaskResult
    rank: int | None
    tied: bool
    human: bool
    metrics: list[MetricResult | None]
    marks: list[Mark]

    @property
    def failures(self) -> int:
        return report.failures(self.result.counts)


@dataclass(frozen=True)
class Board:
    """One comparable table. `anchor` is its address on the page and the name of its data file."""

    task: str
    anchor: str
    distinction: str  # what sets it apart from other boards of the task; empty for the only one
    columns: list[Column]
    rows: list[Row]
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def headline(self) -> list[Column]:
        """The columns that are shown before anyone chooses others."""
        return [column for column in self.columns if column.headline or column.primary]

    def cell(self, row: Row, column: Column) -> Cell | None:
        """What the board says of a run in one column; None where the run was not measured so."""
        metric = row.metrics[self.columns.index(column)]
        return None if metric is None else _cell(metric, column)


def boards(runs: Sequence[Run]) -> list[Board]:
    """All boards, in the order of task names. Runs of other data, protocols or scorers never share one."""
    groups: dict[_Key, list[tuple[Run, TaskResult]]] = {}
    for run in runs:
        for result in run.results.tasks:
            groups.setdefault(_key(run, result), []).append((run, result))
    groups = _join_subsets(groups)
    keys = sorted(groups, key=lambda key: tuple(map(str, key)))
    shared = [key[0] for key in keys]
    humans = [run for run in runs if run.human]
    return [_board(groups[key], _anchor(key), shared.count(key[0]) > 1, humans) for key in keys]


def _anchor(key: _Key) -> str:
    """The same address for the same board in every build, so that a link to it keeps."""
    return f"{slug(str(key[0]))}-{hashlib.sha256(repr(key).encode()).hexdigest()[:6]}"


def _key(run: Run, result: TaskResult) -> _Key:
    primary = report.primary(result)
    measured = (primary.metric, primary.name, primary.scorer) if primary else ()
    data = result.dataset_sha256 if result.leaderboard_grade else ""
    heard = run.record(result.task).get("recogniser")
    # more rounds make a number more precise, every other condition makes it another number
    timed = tuple(sorted((name, value) for name, value in result.conditions.items() if name != "rounds"))
    return result.task, result.version, result.protocol, result.interface, result.dataset, measured, heard, timed, data


def _join_subsets(groups: dict[_Key, list[tuple[Run, TaskResult]]]) -> dict[_Key, list[tuple[Run, TaskResult]]]:
    """Show subsets under the whole set's board where there is one; they stay unranked."""
    joined = {key: list(pairs) for key, pairs in groups.items() if key[-1] != ""}
    for key, pairs in groups.items():
        if key[-1] == "":
            whole = next((other for other in joined if other[:-1] == key[:-1]), key)
            joined.setdefault(whole, []).extend(pairs)
    return joined


def _board(pairs: list[tuple[Run, TaskResult]], anchor: str, shared: bool, humans: Sequence[Run]) -> Board:
    pairs = sorted(
        pairs,
        key=lambda pair: (
            not pair[0].human,
            not pair[1].leaderboard_grade,
            report.sort_value(report.primary(pair[1])),
            pair[0].id,
        ),
    )
    run, first = pairs[0]
    columns = _columns([result for _, result in pairs])
    ranks = _ranks([None if r.human or not t.leaderboard_grade else report.primary(t) for r, t in pairs])
    known = [human.results for human in humans if any(task.task == first.task for task in human.results.tasks)]
    rows = []
    for (one, result), rank in zip(pairs, ranks, strict=True):
        by_name = {(metric.metric, metric.name): metric for metric in result.metrics}
        metrics = [by_name.get((column.metric, column.summary)) for column in columns]
        marks = _marks(one, result, uncalibrated(result, known))
        rows.append(Row(one, result, *rank, human=one.human, metrics=metrics, marks=marks))
    distinction = f"{first.dataset} · {first.interface} · {first.dataset_sha256[:8]}" if shared else ""
    return Board(first.task, anchor, distinction, columns, rows, _facts(run, first))


def _facts(run: Run, first: TaskResult) -> dict[str, str]:
    data = run.dataset(first.task)
    text = {key: str(data[key]) for key in ("version", "licence", "source", "attribution") if data.get(key)}
    facts = {
        "protocol": first.protocol,
        "dataset": first.dataset,
        **text,
        "interface": first.interface,
        "language": ", ".join(first.language),
        "samples": str(first.counts.expected),
        "dataset sha256": first.dataset_sha256,
        "task version": str(first.version),
    }
    if first.conditions:
        facts["conditions"] = ", ".join(f"{name} {value}" for name, value in sorted(first.conditions.items()))
    if heard := run.record(first.task).get("recogniser"):
        facts["recogniser"] = str(heard)
    return facts


def _columns(results: Sequence[TaskResult]) -> list[Column]:
    found: dict[tuple[str, str], list[MetricResult]] = {}
    for result in results:
        for metric in report.ordered(result.metrics):
            found.setdefault((metric.metric, metric.name), []).append(metric)
    main = report.primary(results[0])
    columns = []
    for metrics in found.values():
        first = metrics[0]
        low, high = _range([metric.strict for metric in metrics])
        columns.append(
            Column(
                metric=first.metric,
                summary=first.name,
                name=report.short(first, results[0]),
                title=report.label(first),
                unit=first.unit,
                direction=first.direction,
                primary=main is not None and (first.metric, first.name) == (main.metric, main.name),
                headline=first.headline,
                scorer=first.scorer,
                places=max(report.decimals(metric.strict) for metric in metrics),
                low=low,
                high=high,
            )
        )
    return sorted(columns, key=lambda column: not column.primary)


def _range(estimates: Sequence[Estimate]) -> tuple[float | None, float | None]:
    ends = [end for e in estimates for end in (e.low, e.value, e.high) if end is not None]
    return (min(ends), max(ends)) if ends else (None, None)


def _marks(run: Run, result: TaskResult, lacking: Sequence[str]) -> list[Mark]:
    marks = []
    if run.human:
        marks.append(Mark("human recordings", "The recordings themselves: what the scorers make of people."))
    if not result.leaderboard_grade:
        text = f"subset, {result.counts.expected} samples" if result.limit else "not for the board"
        marks.append(Mark(text, "Shown, but not ranked against runs on the whole data."))
    if lacking:
        meaning = f"No row of the human recordings by the same scorer on the same data for {', '.join(lacking)}."
        marks.append(Mark(NOT_CALIBRATED, meaning))
    if note := run.record(result.task).get("note"):
        marks.append(Mark(str(note), "A note of the task."))
    return marks


def _cell(metric: MetricResult, column: Column) -> Cell:
    strict = metric.strict
    return Cell(
        value=report.number(strict.value, column.places),
        interval=report.interval(strict, column.places) if strict.value is not None else "",
        sort=strict.value,
        compat=report.quantity(metric.compat, places=column.places) if report.differs(metric) else "",
        note=other_scorer(metric, column),
        bar=_bar(strict, column),
    )


def other_scorer(metric: MetricResult, column: Column) -> str:
    """Says which scorer made a number, where it is not the one of its column."""
    return f"scored by {metric.scorer or 'another scorer'}" if metric.scorer != column.scorer else ""


def _bar(estimate: Estimate, column: Column) -> Bar | None:
    if estimate.value is None or column.low is None or column.high is None:
        return None
    span = column.high - column.low

    def place(value: float) -> float:
        return round(4 + 92 * (value - column.low) / span, 2) if span and column.low is not None else 50.0

    bounded = estimate.low is not None or estimate.high is not None
    low = estimate.value if not bounded else column.low if estimate.low is None else estimate.low
    high = estimate.value if not bounded else column.high if estimate.high is None else estimate.high
    return Bar(place(low), place(high), place(estimate.value))


def _ranks(metrics: Sequence[MetricResult | None]) -> list[tuple[int | None, bool]]:
    """(rank, shared) of each: 1 where the interval overlaps the leader's, else one more than the runs wholly ahead.

    None is ranked nowhere. The runs wholly ahead are counted in a sorted list of worst ends.
    """
    defined = [m for m in metrics if m is not None and m.strict.value is not None]
    if not defined:
        return [(None, False)] * len(metrics)
    worst = sorted(_ends(metric)[1] for metric in defined)
    reach = _ends(min(defined, key=report.sort_value))[1]
    ranks: list[int | None] = []
    for metric in metrics:
        if metric is None or metric.strict.value is None:
            ranks.append(None)
        else:
            best = _ends(metric)[0]
            ranks.append(1 if best <= reach else 1 + bisect_left(worst, best))
    holders = Counter(ranks)
    return [(rank, rank is not None and holders[rank] > 1) for rank in ranks]


def _ends(metric: MetricResult) -> tuple[float, float]:
    """Best and worst end of the interval, so that less is better; an end among failures is infinitely far."""
    e = metric.strict
    assert e.value is not None
    if e.low is None and e.high is None:
        ends = (e.value, e.value)
    else:
        ends = (-math.inf if e.low is None else e.low, math.inf if e.high is None else e.high)
    return ends if metric.direction == "lower" else (-ends[1], -ends[0])
