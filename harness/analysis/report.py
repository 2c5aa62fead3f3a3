"""How numbers are written, and the terminal's table of one or several runs, from `results.json` alone."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speech_eval.analysis.derived import with_derived
from speech_eval.analysis.human_baseline import GROUND_TRUTH, NOT_CALIBRATED, uncalibrated
from speech_eval.progress import plain
from speech_eval.records import Counts, Estimate, MetricResult, Results, TaskResult

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

UNDEFINED = "—"
UNRANKED = "not ranked: each axis is reported separately; models in the order of the first number"
FOOTNOTE = "primary metric; ↓ lower is better, ↑ higher is better"
_WIDTH = 132  # columns of the plain text table; rich folds longer cells


# ---------------------------------------------------------------------------------------------- numbers


def decimals(estimate: Estimate) -> int:
    """How many decimals the 95 % interval supports: two significant digits of its half width, at most 4 decimals.

    Without an interval (or with one of width zero): three significant digits of the value, at most 2 decimals.
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


def difference_unit(unit: str) -> str:
    """The unit of the difference of two numbers: two percentages differ by points."""
    return "points" if unit == "%" else unit


def provenance(scorer: str, calibrated: bool) -> str:
    """`by whisper-base@4c1d, not calibrated`: what made a number, where that is a recognizer, a network or a judge."""
    words = [f"by {scorer}"] if scorer else []
    return ", ".join([*words, *([] if calibrated else [NOT_CALIBRATED])])


def brief_scorer(scorer: str) -> str:
    """A scorer's name without the digest of its weights: `whisper-base`."""
    return ", ".join(dict.fromkeys(part.rpartition("@")[0] or part for part in scorer.split(", ")))


def failures(counts: Counts) -> int:
    """Samples without a usable answer: empty, failed or missing."""
    return counts.empty + counts.failed + counts.missing


def failure_words(counts: Counts) -> str:
    """`3 of 100 (1 empty, 2 failed)`, or `0 of 100`; samples with defective data are named, as they do not count."""
    kinds = [("empty", counts.empty), ("failed", counts.failed), ("missing", counts.missing)]
    kinds.append(("not counted: defective data", counts.invalid))
    named = ", ".join(f"{count} {kind}" for kind, count in kinds if count)
    return f"{failures(counts)} of {counts.expected}" + (f" ({named})" if named else "")


def primary(task: TaskResult) -> MetricResult | None:
    """The metric that a board sorts by: the one marked primary, else the first; None where the task has no number."""
    return next((m for m in task.metrics if m.primary), task.metrics[0] if task.metrics else None)


def family(task: TaskResult) -> str:
    """The task's name, for a point of a sweep the name of the task that is swept; `asr under babble` for all values of
    a condition."""
    if task.sweep is None:
        return task.task
    return f"{task.sweep.task} under {task.sweep.axis}" if task.under else task.sweep.task


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

    Where two metrics of `task` share the bare name, the protocol follows: `wer [seed-tts-eval]`, `wer [open-asr@E]`.
    """
    return short_name(metric.metric, metric.name, [other.metric for other in task.metrics] if task else ())


def short_name(metric: str, name: str, among: Iterable[str]) -> str:
    """The short name of a number of `metric`, with as much of the protocol as tells it from the other metrics."""
    bare, _, protocol = metric.rstrip("]").partition("[")
    named = name if name.startswith(bare) else f"{bare} {name}".strip()
    family = protocol.split("@")[0]
    others = {other.rstrip("]").partition("[")[2] for other in set(among) - {metric} if other.split("[")[0] == bare}
    if not others or not protocol:
        return named
    return f"{named} [{protocol if family in {other.split('@')[0] for other in others} else family}]"


def differs(metric: MetricResult) -> bool:
    """Whether dropping failures, as the original benchmark does, gives another number."""
    return metric.compat.value is not None and metric.compat.value != metric.strict.value


# ---------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True)
class Row:
    """One number of a report. `name` is what the table calls the run; `mark` says how the task's numbers differ from
    others: ` (subset of 40)`; `calibrated` is that of the number."""

    result: Results
    name: str
    task: TaskResult
    metric: MetricResult
    mark: str
    calibrated: bool

    @property
    def shown(self) -> bool:
        """Whether tables show the number: a headline number, or the primary one."""
        return self.metric.headline or self.metric.primary

    @property
    def scorer(self) -> str:
        """What made the number, and whether it is not calibrated; empty for a formula."""
        return plain(provenance(self.metric.scorer, self.calibrated))

    def cells(self, name: str) -> list[str]:
        """Task, model, metric, scorer, strict, compat (empty where equal), n and failures as text; `name` is the
        metric's."""
        arrow = "↓" if self.metric.direction == "lower" else "↑"
        return [
            plain(self.task.task + self.mark),
            plain(self.name),
            plain(f"{name} {arrow}" + (" *" if self.metric.primary else "")),
            self.scorer,
            plain(quantity(self.metric.strict, self.metric.unit)),
            plain(quantity(self.metric.compat, self.metric.unit)) if differs(self.metric) else "",
            str(self.metric.strict.n),
            f"{failures(self.task.counts)}/{self.task.counts.expected}",
        ]


def rows(results: Sequence[Results]) -> list[Row]:
    """All numbers, with the derived ones: tasks in the order of the runs, models best first, primary numbers first."""
    results = with_derived(results)
    tasks = dict.fromkeys(task.task for result in results for task in result.tasks)
    named = list(zip(results, names(results), strict=True))
    found: list[Row] = []
    for wanted in tasks:
        entries = [(result, name, task) for result, name in named for task in result.tasks if task.task == wanted]
        entries.sort(key=lambda entry: (entry[2].dataset, sort_value(primary(entry[2]))))
        for result, name, task in entries:
            lacking = uncalibrated(task, results)
            found += [Row(result, name, task, m, _mark(task), m.metric not in lacking) for m in ordered(task.metrics)]
    return found


def names(results: Sequence[Results]) -> list[str]:
    """What a table calls each run: its label or model, with the model spec or the seed where others of the same name
    have another one."""
    models: dict[str, set[str]] = {}
    seeds: dict[str, set[int]] = {}
    for result in results:
        models.setdefault(result.name, set()).add(result.model)
        seeds.setdefault(result.name, set()).add(result.seed)
    found = []
    for result in results:
        model = f" ({result.model})" if len(models[result.name]) > 1 else ""
        seed = f", seed {result.seed}" if len(seeds[result.name]) > 1 else ""
        found.append(f"{result.name}{model}{seed}")
    return found


def _mark(task: TaskResult) -> str:
    if task.leaderboard_grade:
        return ""
    return f" (subset of {task.limit})" if task.limit else " (not for the board)"


def unranked(rows: Sequence[Row]) -> list[str]:
    """A footnote that names the tasks whose axes are reported separately; empty where there are none."""
    names = dict.fromkeys(plain(family(row.task)) for row in rows if not row.task.ranked)
    return [f"{', '.join(names)}: {UNRANKED}"] if names else []


def table(results: Sequence[Results]) -> Table:
    """The terminal's table: tasks in the order of the runs, models best first, one line per headline number.

    Each number is `value [low, high] unit` of `strict`; a line `compat` follows where that differs.
    """
    from rich import box
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    shown_rows = [row for row in rows(results) if row.shown]
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    made.caption, made.caption_justify = Text(_caption(shown_rows)), "left"
    made.add_column("Task, model", overflow="fold")
    made.add_column("Metric", overflow="fold", min_width=15)
    made.add_column("Value [95 % interval]", no_wrap=True)
    made.add_column("n", justify="right", no_wrap=True)
    made.add_column("Failures", justify="right", no_wrap=True)
    shown_task, shown_model, shown_axis = None, None, ""
    for row in shown_rows:
        task, metric = row.task, row.metric
        if shown_task != task.task:
            if shown_task is not None:
                made.add_section()
            made.add_row(Text(plain(task.task), style="bold"))
        _, model, name, _, value, compat, n, failed = row.cells(short(metric, task))
        fresh = shown_model is not task
        lines = [(Text(name), Text(value, style="bold" if metric.primary else ""), n, failed if fresh else "")]
        if metric.axis and (fresh or metric.axis != shown_axis):
            lines.insert(0, (Text(plain(metric.axis), style="italic"), Text(), "", ""))
        if made_by := provenance(brief_scorer(metric.scorer), row.calibrated):
            lines.append((Text(plain(made_by), style="dim"), Text(), "", ""))
        if compat:
            lines.append((Text("compat", style="dim"), Text(compat, style="dim"), "", ""))
        lead: RenderableType = Padding(Text(model + plain(row.mark)), (0, 0, 0, 2)) if fresh else ""
        for line in lines:
            made.add_row(lead, *line)
            lead = ""
        shown_task, shown_model, shown_axis = task.task, task, metric.axis
    return made


def _caption(rows: Sequence[Row]) -> str:
    """The protocols that the short metric names of the table stand for, and footnotes."""
    ids: dict[str, list[str]] = {}
    for row in rows:
        ids.setdefault(family(row.task), []).append(row.metric.metric)
    lines = [f"* {FOOTNOTE}"]
    lines += [plain(f"{task}: {', '.join(dict.fromkeys(names))}") for task, names in ids.items()]
    scorers = dict.fromkeys(row.metric.scorer for row in rows if "@" in row.metric.scorer)
    lines += [plain(f"scored by {', '.join(scorers)}")] if scorers else []
    lines += unranked(rows) + list(dict.fromkeys(filter(None, map(_not_counted, rows))))
    if not all(row.calibrated for row in rows):
        lines.append(f"{NOT_CALIBRATED}: no row of --model {GROUND_TRUTH} by the same scorer on the same data")
    return "\n".join(lines)


def _not_counted(row: Row) -> str:
    """Which samples a number does not count; empty where it counts all."""
    kinds = [("with defective data", row.metric.invalid), ("that broke the scorer", row.metric.unscored)]
    named = " and ".join(f"{count} {kind}" for kind, count in kinds if count)
    return plain(f"{row.task.task}, {row.metric.metric}: samples not counted: {named}") if named else ""


def text(results: Sequence[Results]) -> str:
    """The terminal's table as plain text that ends in a newline."""
    from rich.console import Console

    buffer = io.StringIO()
    Console(file=buffer, width=_WIDTH, color_system=None, highlight=False).print(table(results))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
