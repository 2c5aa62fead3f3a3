"""Boards: comparable runs of one task, best first, with their columns, marks and ranks."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from speech_eval.analysis import report
from speech_eval.analysis.human_baseline import NOT_CALIBRATED, uncalibrated
from speech_eval.leaderboard.listeners import Correlation, is_human, over_systems
from speech_eval.leaderboard.load import Run, slug
from speech_eval.leaderboard.ranks import place, row_ranks
from speech_eval.records import Estimate, MetricResult, Record, TaskResult
from speech_eval.statistics.ranking import Shares

_SHOWN = 5  # columns of a board that are shown before anyone chooses others: what fits a screen of 1400 pixels
_SHOWN_PER_AXIS = 1
_POLICY_POINT = re.compile(r"(false-cut-offs|latency|missed) ([0-9.e-]+)/([0-9.e-]+)")
_Key = tuple[object, ...]


@dataclass(frozen=True)
class Bar:
    """Positions of an interval and its value on the board's scale, in percent of its width."""

    low: float
    high: float
    value: float


@dataclass(frozen=True)
class Cell:
    """A metric of a run as text. `compat` is empty where it equals the value; `note` says what made the number where
    that is not the column's scorer, and whether it is not calibrated."""

    value: str
    interval: str
    sort: float | None
    compat: str = ""
    note: str = ""
    bar: Bar | None = None


class ColumnData(Record):
    """A number of a board. `by` is the scorer without digests.

    `places` is the number of decimals that the column's most precise interval supports; `shown` says whether the page
    shows the column at first.
    """

    metric: str
    summary: str
    name: str
    title: str
    unit: str
    direction: str
    primary: bool
    headline: bool
    shown: bool
    scorer: str
    by: str
    axis: str
    places: int


class Column(ColumnData):
    """With the scale of its bars."""

    low: float | None
    high: float | None


@dataclass(frozen=True)
class Mark:
    """A label on a row that is not comparable with the others in some way, and what the label means."""

    text: str
    meaning: str


@dataclass(frozen=True)
class Row:
    """A run on a board, or one point of its sweep. `rank` is None for a subset, for the human recordings and on a board
    without ranks; `tied` says that others share the rank. `folded`: a further point of a sweep, shown on request."""

    run: Run
    result: TaskResult
    rank: int | None
    tied: bool
    human: bool
    metrics: list[MetricResult | None]
    marks: list[Mark]
    folded: bool = False
    uncalibrated: tuple[str, ...] = ()  # metric ids

    @property
    def failures(self) -> int:
        return report.failures(self.result.counts)

    @property
    def point(self) -> float | None:
        """The row's value of the board's sweep; None without one, or for a condition without values."""
        return None if self.result.sweep is None else self.result.sweep.value


@dataclass(frozen=True)
class Board:
    """One comparable table. `anchor` is its address on the page and the name of its data file.

    `ranked_by` names the method that separates ranks: `ranks.PAIRED`, `ranks.OVERLAP`, both, or empty where no row has
    a rank. `sweep` is the axis of a sweep, whose points share one board. `listeners` says how far other numbers agree
    with what people said.
    """

    task: str
    anchor: str
    distinction: str  # how it differs from other boards of the task; empty for the only one
    columns: list[Column]
    rows: list[Row]
    ranked_by: str = ""
    sweep: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    listeners: list[Correlation] = field(default_factory=list)

    @property
    def ranked(self) -> bool:
        return all(row.result.ranked for row in self.rows)

    @property
    def axes(self) -> list[tuple[str, int]]:
        """The axes of the columns shown at first, each with its number of columns; empty for a task without axes."""
        names = [column.axis for column in self.shown]
        return [(name, len(list(same))) for name, same in groupby(names)] if any(names) else []

    @property
    def headline(self) -> list[Column]:
        """The columns of the headline numbers."""
        return [column for column in self.columns if column.headline or column.primary]

    @property
    def shown(self) -> list[Column]:
        """The columns that the page shows at first."""
        return [column for column in self.columns if column.shown]

    def cell(self, row: Row, column: Column) -> Cell | None:
        """The cell of a row in one column; None where the run lacks that metric."""
        metric = row.metrics[self.columns.index(column)]
        return None if metric is None else _cell(metric, column, note(row, column, metric))


_Pairs = list[tuple[Run, TaskResult]]
_Held = Mapping[tuple[str, str], Shares]


def boards(runs: Sequence[Run], held: _Held | None = None) -> list[Board]:
    """All boards, in the order of task names. Runs on different data, or by different protocols or scorers, never share
    a board.

    `held` holds, by run and task, what each sample adds to the primary number: runs on the same samples are then ranked
    by a paired test, others by their intervals.
    """
    groups = _groups(runs)
    keys = sorted(groups, key=lambda key: tuple(map(str, key)))
    shared = Counter(key[0] for key in keys)
    humans = [run for run in runs if run.human]
    return [_board(groups[key], _anchor(key), shared[key[0]] > 1, humans, held or {}) for key in keys]


def anchors(runs: Sequence[Run]) -> dict[tuple[str, str], str]:
    """The board of each (run, task)."""
    return {(run.id, result.task): _anchor(key) for key, pairs in _groups(runs).items() for run, result in pairs}


def _groups(runs: Sequence[Run]) -> dict[_Key, _Pairs]:
    groups: dict[_Key, _Pairs] = {}
    for run in runs:
        for result in run.results.tasks:
            groups.setdefault(_key(run, result), []).append((run, result))
    return _join_subsets(groups)


def _anchor(key: _Key) -> str:
    """The same address for the same board in every build, so that links stay valid."""
    return f"{slug(str(key[0]))}-{hashlib.sha256(repr(key).encode()).hexdigest()[:6]}"


def _key(run: Run, result: TaskResult) -> _Key:
    primary = report.primary(result)
    measured = (primary.metric, primary.name, primary.scorer) if primary else ()
    data = result.dataset_sha256 if result.leaderboard_grade else ""
    record = run.record(result.task)
    heard = record.recognizer if record else None
    # more rounds make a number more precise; every other condition that holds makes it a different number. In a sweep
    # the warm-up follows the swept value.
    ignored = ("rounds",) if result.sweep is None else ("rounds", "warm_up", result.sweep.axis)
    timed = tuple(sorted((name, value) for name, value in result.conditions.items() if value and name not in ignored))
    return (
        report.family(result),
        result.version,
        result.protocol,
        result.interface,
        result.dataset,
        measured,
        heard,
        timed,
        data,
    )


def _join_subsets(groups: dict[_Key, _Pairs]) -> dict[_Key, _Pairs]:
    """Show subsets on the board of the whole dataset where there is one, without a rank."""
    joined = {key: list(pairs) for key, pairs in groups.items() if key[-1] != ""}
    for key, pairs in groups.items():
        if key[-1] == "":
            whole = next((other for other in joined if other[:-1] == key[:-1]), key)
            joined.setdefault(whole, []).extend(pairs)
    return joined


def _board(pairs: _Pairs, anchor: str, shared: bool, humans: Sequence[Run], held: _Held) -> Board:
    pairs = sorted(pairs, key=place)
    run, first = pairs[0]
    columns = _columns([result for _, result in pairs])
    ranks, ranked_by = row_ranks(pairs, held, sum(column.headline or column.primary for column in columns))
    last: dict[str, float] = {}
    for one, result in pairs:
        last[one.id] = max(last.get(one.id, -math.inf), _point(result))
    known = [human.results for human in humans if any(task.task == first.task for task in human.results.tasks)]
    rows = []
    for (one, result), rank in zip(pairs, ranks, strict=True):
        by_name = {(metric.metric, metric.name): metric for metric in result.metrics}
        metrics = [by_name.get((column.metric, column.summary)) for column in columns]
        lacking = uncalibrated(result, known)
        marks = _marks(one, result, lacking)
        folded = _point(result) < last[one.id]
        rows.append(Row(one, result, *rank, one.human, metrics, marks, folded, lacking))
    distinction = f"{first.dataset} · {first.interface} · {first.dataset_sha256[:8]}" if shared else ""
    sweep = "" if first.sweep is None or first.sweep.value is None else first.sweep.axis
    heard = over_systems([row.metrics for row in rows if not row.folded])
    return Board(report.family(first), anchor, distinction, columns, rows, ranked_by, sweep, _facts(run, first), heard)


def _point(result: TaskResult) -> float:
    return 0 if result.sweep is None else result.sweep.value or 0


def _facts(run: Run, first: TaskResult) -> dict[str, str]:
    data = run.dataset(first.task)
    stated = data.model_dump(include={"version", "license", "source", "attribution"}) if data else {}
    text = {key: value for key, value in stated.items() if value}
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
    swept = () if first.sweep is None else ("warm_up", first.sweep.axis)
    if kept := sorted((name, value) for name, value in first.conditions.items() if value and name not in swept):
        facts["conditions"] = ", ".join(f"{name.replace('_', '-')} {value}" for name, value in kept)
    if (record := run.record(first.task)) and record.recognizer:
        facts["recognizer"] = record.recognizer
    return facts


def _columns(results: Sequence[TaskResult]) -> list[Column]:
    found: dict[tuple[str, str], list[MetricResult]] = {}
    for result in results:
        for metric in report.ordered(metric for metric in result.metrics if not is_policy_point(metric)):
            found.setdefault((metric.metric, metric.name), []).append(metric)
    main, ranked = report.primary(results[0]), all(result.ranked for result in results)
    columns: list[Column] = []
    for metrics in found.values():
        first = metrics[0]
        primary = ranked and main is not None and (first.metric, first.name) == (main.metric, main.name)
        shown = primary or is_human(first) or leads(first, [column.axis for column in columns if column.shown])
        low, high = _range([metric.strict for metric in metrics])
        columns.append(
            Column(
                metric=first.metric,
                summary=first.name,
                name=report.short(first, results[0]),
                title=report.label(first),
                unit=first.unit,
                direction=first.direction,
                primary=primary,
                headline=first.headline,
                shown=shown,
                scorer=first.scorer,
                by=report.brief_scorer(first.scorer),
                axis=first.axis,
                places=max(report.decimals(metric.strict) for metric in metrics),
                low=low,
                high=high,
            )
        )
    return sorted(columns, key=lambda column: not column.primary)


def leads(metric: MetricResult, before: Sequence[str]) -> bool:
    """Whether a number is shown at first, given the axes of the numbers already shown: the first headline number of
    each axis, or for a task without axes the first few."""
    return metric.headline and before.count(metric.axis) < (_SHOWN_PER_AXIS if metric.axis else _SHOWN)


def is_policy_point(metric: MetricResult) -> bool:
    """Whether a number is one rule of a turn-taking policy sweep: these are drawn as a chart, as a table would be too
    long."""
    return metric.metric.startswith("turn-policy[") and policy_rule(metric) is not None


def policy_rule(metric: MetricResult) -> re.Match[str] | None:
    """The groups (number, threshold, delay) of the name of a policy sweep's number."""
    return _POLICY_POINT.fullmatch(metric.name)


def _range(estimates: Sequence[Estimate]) -> tuple[float | None, float | None]:
    ends = [end for e in estimates for end in (e.low, e.value, e.high) if end is not None]
    return (min(ends), max(ends)) if ends else (None, None)


def _marks(run: Run, result: TaskResult, lacking: Sequence[str]) -> list[Mark]:
    marks = []
    if run.human:
        marks.append(Mark("human recordings", "The recordings of the dataset themselves: the scores that people get."))
    if not result.leaderboard_grade:
        text = f"subset, {result.counts.expected} samples" if result.limit else "not for the board"
        marks.append(Mark(text, "Shown, but not ranked against runs on the whole dataset."))
    if lacking:
        meaning = f"The same scorer has not scored the human recordings of this dataset here: {', '.join(lacking)}."
        marks.append(Mark(NOT_CALIBRATED, meaning))
    if (record := run.record(result.task)) and record.note:
        marks.append(Mark(record.note, "A note of the task."))
    return marks


def _cell(metric: MetricResult, column: Column, said: str) -> Cell:
    strict = metric.strict
    return Cell(
        value=report.number(strict.value, column.places),
        interval=report.interval(strict, column.places) if strict.value is not None else "",
        sort=strict.value,
        compat=report.quantity(metric.compat, places=column.places) if report.differs(metric) else "",
        note=said,
        bar=_bar(strict, column),
    )


def note(row: Row, column: Column, metric: MetricResult) -> str:
    """What made a number where that is not the column's scorer, and whether it is not calibrated; else empty."""
    other = f"scored by {metric.scorer or 'another scorer'}" if metric.scorer != column.scorer else ""
    return ", ".join(filter(None, [other, NOT_CALIBRATED if metric.metric in row.uncalibrated else ""]))


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
