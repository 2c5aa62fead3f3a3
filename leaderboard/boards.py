"""Boards: runs of one task that may stand side by side, best first, with ranks that respect their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness import report
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
    """A headline number of a board. `places` is the decimals that the most precise interval of the column supports."""

    metric: str
    summary: str
    name: str
    title: str
    unit: str
    direction: str
    primary: bool
    scorer: str
    places: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Row:
    """A run on a board. `rank` is None for a subset: it is not ranked against the whole."""

    run: Run
    result: TaskResult
    rank: int | None
    tied: bool
    cells: list[Cell | None]
    marks: list[str]

    @property
    def failures(self) -> int:
        return report.failures(self.result.counts)


@dataclass(frozen=True)
class Board:
    """One comparable table. `anchor` is its address on the page."""

    task: str
    anchor: str
    distinction: str  # what sets it apart from other boards of the task; empty for the only one
    columns: list[Column]
    rows: list[Row]
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def shared_first(self) -> bool:
        return sum(row.rank == 1 for row in self.rows) > 1


def boards(runs: Sequence[Run]) -> list[Board]:
    """All boards, in the order of task names. Runs of other data, protocols or scorers never share one."""
    groups: dict[_Key, list[tuple[Run, TaskResult]]] = {}
    for run in runs:
        for result in run.results.tasks:
            groups.setdefault(_key(run, result), []).append((run, result))
    groups = _join_subsets(groups)
    keys = sorted(groups, key=lambda key: tuple(map(str, key)))
    shared = [key[0] for key in keys]
    return [_board(groups[key], index, shared.count(key[0]) > 1) for index, key in enumerate(keys)]


def _key(run: Run, result: TaskResult) -> _Key:
    primary = report.primary(result)
    measured = (primary.metric, primary.name, primary.scorer) if primary else ()
    data = result.dataset_sha256 if result.leaderboard_grade else ""
    heard = run.record(result.task).get("recogniser")
    return result.task, result.version, result.protocol, result.interface, result.dataset, measured, heard, data


def _join_subsets(groups: dict[_Key, list[tuple[Run, TaskResult]]]) -> dict[_Key, list[tuple[Run, TaskResult]]]:
    """Show subsets under the whole set's board where there is one; they stay unranked."""
    joined = {key: list(pairs) for key, pairs in groups.items() if key[-1] != ""}
    for key, pairs in groups.items():
        if key[-1] == "":
            whole = next((other for other in joined if other[:-1] == key[:-1]), key)
            joined.setdefault(whole, []).extend(pairs)
    return joined


def _board(pairs: list[tuple[Run, TaskResult]], index: int, shared: bool) -> Board:
    pairs = sorted(
        pairs, key=lambda pair: (not pair[1].leaderboard_grade, report.sort_value(report.primary(pair[1])), pair[0].id)
    )
    run, first = pairs[0]
    columns = _columns([result for _, result in pairs])
    ranked = [report.primary(result) for _, result in pairs if result.leaderboard_grade]
    rows = [_row(run, result, columns, _rank(report.primary(result), ranked)) for run, result in pairs]
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
    if heard := run.record(first.task).get("recogniser"):
        facts["recogniser"] = str(heard)
    distinction = f"{first.dataset} · {first.interface} · {first.dataset_sha256[:8]}" if shared else ""
    return Board(first.task, f"board-{index + 1}-{slug(first.task)}", distinction, columns, rows, facts)


def _columns(results: Sequence[TaskResult]) -> list[Column]:
    found: dict[tuple[str, str], list[MetricResult]] = {}
    for result in results:
        for metric in report.ordered(m for m in result.metrics if m.headline or m.primary):
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


def _row(run: Run, result: TaskResult, columns: list[Column], rank: tuple[int, bool] | None) -> Row:
    by_name = {(metric.metric, metric.name): metric for metric in result.metrics}
    cells = []
    for column in columns:
        metric = by_name.get((column.metric, column.summary))
        cells.append(None if metric is None else _cell(metric, column))
    marks = []
    if not result.leaderboard_grade:
        marks.append(f"subset, {result.counts.expected} samples" if result.limit else "not for the board")
    if note := run.record(result.task).get("note"):
        marks.append(str(note))
    place, tied = rank if rank and result.leaderboard_grade else (None, False)
    return Row(run, result, place, tied, cells, marks)


def _cell(metric: MetricResult, column: Column) -> Cell:
    strict = metric.strict
    return Cell(
        value=report.number(strict.value, column.places),
        interval=report.interval(strict, column.places) if strict.value is not None else "",
        sort=strict.value,
        compat=report.quantity(metric.compat, places=column.places) if report.differs(metric) else "",
        note=f"scored by {metric.scorer or 'another scorer'}" if metric.scorer != column.scorer else "",
        bar=_bar(strict, column),
    )


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


def _rank(metric: MetricResult | None, ranked: Sequence[MetricResult | None]) -> tuple[int, bool] | None:
    """(rank, shared): 1 where the interval overlaps the leader's, else one more than the runs wholly ahead of it."""
    defined = [m for m in ranked if m is not None and m.strict.value is not None]
    if metric is None or metric.strict.value is None or not defined:
        return None
    best = min(defined, key=report.sort_value)
    leaders = [m for m in defined if not _ahead(best, m)]
    if not _ahead(best, metric):
        return 1, len(leaders) > 1
    return 1 + sum(_ahead(other, metric) for other in defined), False


def _ahead(left: MetricResult, right: MetricResult) -> bool:
    """Whether the whole interval of `left` is better than the whole interval of `right`."""
    return _ends(left)[1] < _ends(right)[0]


def _ends(metric: MetricResult) -> tuple[float, float]:
    """Best and worst end of the interval, so that less is better; an end among failures is infinitely far."""
    e = metric.strict
    assert e.value is not None
    if e.low is None and e.high is None:
        ends = (e.value, e.value)
    else:
        ends = (-math.inf if e.low is None else e.low, math.inf if e.high is None else e.high)
    return ends if metric.direction == "lower" else (-ends[1], -ends[0])
