"""Tables of one run or several: for the terminal, Markdown, CSV and JSON, from `results.json` alone."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from speech_eval.analysis.calibration import GROUND_TRUTH, NOT_CALIBRATED, uncalibrated
from speech_eval.errors import BadInput
from speech_eval.progress import plain
from speech_eval.records import SCHEMA_VERSION, Counts, Estimate, MetricResult, Results, TaskResult

if TYPE_CHECKING:
    from rich.table import Table

Format = Literal["text", "markdown", "csv", "json"]
UNDEFINED = "—"
UNRANKED = "not ranked, for its axes stand apart; models in the order of the first number"
_WIDTH = 132  # columns of the plain text table; rich folds longer cells
_Row = tuple[Results, TaskResult, MetricResult]


# ---------------------------------------------------------------------------------------------- numbers


def decimals(estimate: Estimate) -> int:
    """How many decimals the 95 % interval supports: two significant digits of its half width, at most 4 decimals.

    Without an interval (or with one of width zero) three significant digits of the value, at most 2 decimals.
    """
    if estimate.low is not None and estimate.high is not None and estimate.high > estimate.low:
        return _clamp(1 - math.floor(math.log10((estimate.high - estimate.low) / 2)), 4)
    if not estimate.value:
        return 1
    return _clamp(2 - math.floor(math.log10(abs(estimate.value))), 2)


def _clamp(places: int, most: int) -> int:
    return max(0, min(most, places))


def number(value: float | None, places: int) -> str:
    """A number with fixed decimals; `—` where it is not defined; never a negative zero."""
    if value is None:
        return UNDEFINED
    text = f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text


def interval(estimate: Estimate, places: int | None = None) -> str:
    """`[low, high]`, or nothing where the estimate has no interval. An end among failures is infinitely far."""
    if estimate.low is None and estimate.high is None:
        return ""
    places = decimals(estimate) if places is None else places
    low = "-∞" if estimate.low is None else number(estimate.low, places)
    high = "∞" if estimate.high is None else number(estimate.high, places)
    return f"[{low}, {high}]"


def quantity(estimate: Estimate, unit: str = "", places: int | None = None) -> str:
    """`value [low, high] unit`, rounded to what the interval supports."""
    places = decimals(estimate) if places is None else places
    text = number(estimate.value, places)
    if estimate.value is None:
        return text
    return " ".join(part for part in (text, interval(estimate, places), unit) if part)


def failures(counts: Counts) -> int:
    """Samples without a usable answer: empty, failed or missing."""
    return counts.empty + counts.failed + counts.missing


def failure_words(counts: Counts) -> str:
    """`3 of 100 (1 empty, 2 failed)`, or `0 of 100`."""
    kinds = [("empty", counts.empty), ("failed", counts.failed), ("missing", counts.missing)]
    named = ", ".join(f"{count} {kind}" for kind, count in kinds if count)
    return f"{failures(counts)} of {counts.expected}" + (f" ({named})" if named else "")


def primary(task: TaskResult) -> MetricResult | None:
    """The metric a board sorts by: the one marked primary, else the first (of a task that is not ranked, what a model
    costs); None where the task has no number."""
    return next((m for m in task.metrics if m.primary), task.metrics[0] if task.metrics else None)


def family(task: TaskResult) -> str:
    """The task's name, for a point of a sweep the name of the task that is swept."""
    return task.task if task.sweep is None else task.sweep.task


def sort_value(metric: MetricResult | None) -> tuple[bool, float]:
    """Ascending sort key, best first in the metric's own direction and undefined last."""
    value = None if metric is None else metric.strict.value
    if metric is None or value is None:
        return True, 0.0
    return False, value if metric.direction == "lower" else -value


def ordered(metrics: Iterable[MetricResult]) -> list[MetricResult]:
    """The metrics of a task, primary first, else as reported."""
    return sorted(metrics, key=lambda metric: not metric.primary)


def label(metric: MetricResult) -> str:
    """`protocol/summary`, or the protocol alone where its bare name says the same: `wer[open-asr]`."""
    bare = metric.metric.split("[")[0]
    return metric.metric if metric.name in (bare, metric.metric, "") else f"{metric.metric}/{metric.name}"


def short(metric: MetricResult, task: TaskResult | None = None) -> str:
    """The summary's name, with the metric's before it where it does not start with that: `wer`, `mos ovrl`.

    Where two metrics of `task` share the bare name, the protocol follows: `wer [seed-tts-eval]`.
    """
    bare, _, protocol = metric.metric.partition("[")
    name = metric.name if metric.name.startswith(bare) else f"{bare} {metric.name}".strip()
    namesakes = {other.metric for other in (task.metrics if task else ()) if other.metric.split("[")[0] == bare}
    family = protocol.rstrip("]").split("@")[0]
    return f"{name} [{family}]" if len(namesakes) > 1 and family else name


# ---------------------------------------------------------------------------------------------- tables


def render(results: Sequence[Results], format: Format = "text") -> str:
    """All numbers of the runs as one document that ends in a newline. Raises `BadInput` for another format."""
    makers = {"text": _text, "markdown": _markdown, "csv": _csv, "json": _json}
    if format not in makers:
        raise BadInput(f"There is no report format '{format}'.", f"Use one of: {', '.join(makers)}.")
    return makers[format](results)


def table(results: Sequence[Results]) -> Table:
    """The terminal's table: tasks in the order of the runs, models best first, one line a headline number.

    Each number is `value [low, high] unit` of `strict`; a line `compat` stands under it where that differs.
    """
    from rich import box
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    rows = [row for row in _rows(results) if row[2].headline or row[2].primary]
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    made.caption, made.caption_justify = Text(_protocols(rows)), "left"
    made.add_column("Task, model", overflow="fold")
    made.add_column("Metric", overflow="fold", min_width=15)
    made.add_column("Value [95 % interval]", no_wrap=True)
    made.add_column("n", justify="right", no_wrap=True)
    made.add_column("Failures", justify="right", no_wrap=True)
    marks = _marks(results)
    if any(NOT_CALIBRATED in mark for mark in marks.values()):
        made.caption.append(f"\n{NOT_CALIBRATED}: no row of --model {GROUND_TRUTH} by the same scorer on the same data")
    shown_task, shown_model, shown_axis = None, None, ""
    for result, task, metric in rows:
        if shown_task != task.task:
            if shown_task is not None:
                made.add_section()
            made.add_row(Text(plain(task.task), style="bold"))
        _, model, name, value, compat, n, failed = _cells(result, task, metric, short(metric, task), marks[id(task)])
        named, shown = Text(name), Text(value, style="bold" if metric.primary else "")
        if compat:
            named.append("\ncompat", style="dim")
            shown.append(f"\n{compat}", style="not bold dim")
        fresh = shown_model is not task
        if metric.axis and (fresh or metric.axis != shown_axis):
            named, shown = Text(f"{plain(metric.axis)}\n", style="italic") + named, Text("\n") + shown
            n = f"\n{n}"
        lead = Padding(Text(model + plain(marks[id(task)])), (0, 0, 0, 2)) if fresh else ""
        made.add_row(lead, named, shown, n, failed if fresh else "")
        shown_task, shown_model, shown_axis = task.task, task, metric.axis
    return made


def differs(metric: MetricResult) -> bool:
    """Whether dropping failures, as the original benchmark does, gives another number."""
    return metric.compat.value is not None and metric.compat.value != metric.strict.value


def _rows(results: Sequence[Results]) -> list[_Row]:
    names = list(dict.fromkeys(task.task for result in results for task in result.tasks))
    rows: list[_Row] = []
    for name in names:
        pairs = [(result, task) for result in results for task in result.tasks if task.task == name]
        pairs.sort(key=lambda pair: (pair[1].dataset, sort_value(primary(pair[1]))))
        rows += [(result, task, metric) for result, task in pairs for metric in ordered(task.metrics)]
    return rows


def _protocols(rows: Sequence[_Row]) -> str:
    """What the short metric names of the table stand for."""
    ids: dict[str, list[str]] = {}
    for _, task, metric in rows:
        ids.setdefault(family(task), []).append(metric.metric)
    lines = ["* primary metric; ↓ lower is better, ↑ higher is better"]
    lines += [plain(f"{task}: {', '.join(dict.fromkeys(names))}") for task, names in ids.items()]
    return "\n".join([*lines, *_unranked(task for _, task, _ in rows)])


def _unranked(tasks: Iterable[TaskResult]) -> list[str]:
    names = dict.fromkeys(plain(family(task)) for task in tasks if not task.ranked)
    return [f"{', '.join(names)}: {UNRANKED}"] if names else []


def _marks(results: Sequence[Results]) -> dict[int, str]:
    """What keeps the numbers of a task (by its `id`) from being read like others: ` (subset of 40, not calibrated)`."""
    marks = {}
    for task in (task for result in results for task in result.tasks):
        words = [] if task.leaderboard_grade else [f"subset of {task.limit}" if task.limit else "not for the board"]
        words += [NOT_CALIBRATED] if uncalibrated(task, results) else []
        marks[id(task)] = f" ({', '.join(words)})" if words else ""
    return marks


def _cells(result: Results, task: TaskResult, metric: MetricResult, name: str, mark: str) -> list[str]:
    arrow = "↓" if metric.direction == "lower" else "↑"
    failed = f"{failures(task.counts)}/{task.counts.expected}"
    return [
        plain(task.task + mark),
        plain(result.model),
        plain(f"{name} {arrow}" + (" *" if metric.primary else "")),
        plain(quantity(metric.strict, metric.unit)),
        plain(quantity(metric.compat, metric.unit)) if differs(metric) else "",
        str(metric.strict.n),
        failed,
    ]


def _text(results: Sequence[Results]) -> str:
    from rich.console import Console

    buffer = io.StringIO()
    Console(file=buffer, width=_WIDTH, color_system=None, highlight=False).print(table(results))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _markdown(results: Sequence[Results]) -> str:
    lines = [
        "| Task | Model | Metric | Value [95 % interval] | compat | n | Failures |",
        "|---|---|---|---|---|--:|--:|",
    ]
    marks = _marks(results)
    for row in _rows(results):
        name = f"{row[2].axis}: {label(row[2])}" if row[2].axis else label(row[2])
        cells = [markdown_cell(cell) for cell in _cells(*row, name, marks[id(row[1])])]
        if row[2].primary:
            cells[3] = f"**{cells[3]}**"
        lines.append("| " + " | ".join(cells) + " |")
    notes = ["\\* primary metric; ↓ lower is better, ↑ higher is better"]
    notes += map(markdown_cell, _unranked(task for result in results for task in result.tasks))
    return "\n".join(lines) + "\n\n" + "\n\n".join(notes) + "\n"


def markdown_cell(text: str) -> str:
    """Text that no Markdown or HTML in it can change."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#!|~])", r"\\\1", text)


_CSV_HEADER = (
    *("model", "seed", "task", "task_version", "protocol", "interface", "dataset", "dataset_sha256", "limit"),
    *("leaderboard_grade", "ranked", "axis", "metric", "name", "unit", "direction", "primary", "scorer", "calibrated"),
    *("strict", "strict_low", "strict_high", "strict_n", "compat", "compat_low", "compat_high", "compat_n"),
    *("expected", "ok", "empty", "failed", "missing"),
)


def _csv(results: Sequence[Results]) -> str:
    """One line a metric, numbers unrounded, undefined numbers empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_CSV_HEADER)
    for result, task, metric in _rows(results):
        strict, compat, counts = metric.strict, metric.compat, task.counts
        row: list[object] = [result.model, result.seed, task.task, task.version, task.protocol, task.interface]
        row += [task.dataset, task.dataset_sha256, task.limit, task.leaderboard_grade, task.ranked]
        row += [metric.axis, metric.metric, metric.name]
        row += [metric.unit, metric.direction, metric.primary, metric.scorer]
        row += [metric.metric not in uncalibrated(task, results)]
        row += [strict.value, strict.low, strict.high, strict.n, compat.value, compat.low, compat.high, compat.n]
        row += [counts.expected, counts.ok, counts.empty, counts.failed, counts.missing]
        writer.writerow([_csv_cell(cell) for cell in row])
    return buffer.getvalue()


def _csv_cell(cell: object) -> object:
    # a spreadsheet runs text that starts like a formula, and a model's name is whatever its author chose
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _json(results: Sequence[Results]) -> str:
    pairs = [(result, task, uncalibrated(task, results)) for result in results for task in result.tasks]
    data = {
        "schema_version": SCHEMA_VERSION,
        "results": [result.model_dump(mode="json") for result in results],
        "uncalibrated": [{"model": r.model, "task": t.task, "metrics": list(names)} for r, t, names in pairs if names],
    }
    return json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
