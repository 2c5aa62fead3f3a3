"""Tables for papers: the best number is bold only where it is significantly better than every other.

A page holds each table: columns have fixed shares of the line, and many columns or models go on in a further table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from speech_eval.analysis.human_baseline import NOT_CALIBRATED, uncalibrated
from speech_eval.analysis.report import (
    brief_scorer,
    decimals,
    interval,
    names,
    number,
    plain,
    primary,
    short,
    sort_value,
)
from speech_eval.analysis.significance import Family, Number, family
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.records import MetricResult, Results, TaskResult

COLUMNS, ROWS = 4, 20  # of numbers and of models in one table
_MODEL, _NUMBER = 0.27, 0.16  # widths as shares of the line
_LONG = 20  # characters of a word that may be broken after punctuation

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def latex(runs: Sequence[RunDirectory], results: Sequence[Results]) -> str:
    """Tables per task and dataset, with a row per model and a column per headline number. The best is bold where it is
    significantly better than every other (paired tests, Holm over the numbers and models of the task, 5 %). A dagger
    marks what is not calibrated. Needs the packages `booktabs` and `array`."""
    pools: dict[tuple[str, str], list[tuple[int, TaskResult]]] = {}
    for position, result in enumerate(results):
        for task in result.tasks:
            pools.setdefault((task.task, task.dataset_sha256), []).append((position, task))
    tables, called = [], names(results)
    for found in pools.values():
        ordered = sorted(found, key=lambda item: sort_value(primary(item[1])))
        tested = family([runs[position] for position, _ in ordered], ordered[0][1].task) if len(found) > 1 else None
        tables += _Pool([called[position] for position, _ in ordered], [task for _, task in ordered], tested).tables(
            results
        )
    return "\n".join(tables)


@dataclass(frozen=True)
class _Pool:
    """The named runs of one task and dataset, best first. `tested` is the family of their paired tests."""

    names: Sequence[str]
    tasks: Sequence[TaskResult]
    tested: Family | None

    def tables(self, known: Sequence[Results]) -> list[str]:
        """As many tables as the numbers and the models need. `known` are all results that may calibrate others."""
        shown = [(task, m) for task in self.tasks for m in task.metrics if m.headline or m.primary]
        columns = {_key(metric): (task, metric) for task, metric in reversed(shown)}
        keys = list(dict.fromkeys(_key(metric) for _, metric in shown))
        parts = [
            (keys[start : start + COLUMNS], range(first, min(first + ROWS, len(self.tasks))))
            for start in range(0, len(keys), COLUMNS)
            for first in range(0, len(self.tasks), ROWS)
        ]
        lacking = [uncalibrated(task, known) for task in self.tasks]
        return [
            self._table([columns[key] for key in part], rows, lacking, index)
            for index, (part, rows) in enumerate(parts)
        ]

    def _table(
        self,
        columns: Sequence[tuple[TaskResult, MetricResult]],
        rows: Sequence[int],
        lacking: Sequence[Sequence[str]],
        part: int,
    ) -> str:
        bold = {_key(metric): self.significantly_best(_key(metric)) for _, metric in columns}
        width = rf">{{\raggedleft\arraybackslash}}p{{{_NUMBER}\linewidth}}"
        model = rf">{{\raggedright\arraybackslash}}p{{{_MODEL}\linewidth}}"
        lines = [
            r"\begin{table}",
            r"\centering",
            r"\setlength{\tabcolsep}{0.01\linewidth}",
            rf"\begin{{tabular}}{{@{{}}{model}{width * len(columns)}@{{}}}}",
            r"\toprule",
            *_latex_axes([metric.axis for _, metric in columns]),
            " & ".join(["Model", *(_head(task, metric) for task, metric in columns)]) + r" \\",
            r"\midrule",
        ]
        daggers = False
        for row in rows:
            found = {_key(metric): metric for metric in self.tasks[row].metrics}
            cells = []
            for _, metric in columns:
                own = found.get(_key(metric))
                dagger = own is not None and own.metric in lacking[row]
                other = "" if own is None or own.scorer == metric.scorer else brief_scorer(own.scorer)
                daggers |= dagger
                cells.append(_latex_cell(own, bold[_key(metric)] == row, dagger, other))
            # after the end of a row, LaTeX would read a bracket or a star as an argument
            name = re.sub(r"^(?=[\[*])", "{}", latex_text(self.names[row]))
            lines.append(" & ".join([name, *cells]) + r" \\")
        caption = latex_text(self._caption([metric for _, metric in columns], part))
        caption += rf" $^\dagger${NOT_CALIBRATED}." if daggers else ""
        caption += r" Bold: significantly better than every other model (paired test, Holm, 5\,\%)."
        anchor = re.sub("[^a-z0-9]+", "-", self.tasks[0].task.lower()).strip("-") + (f"-{part + 1}" if part else "")
        lines += [
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{anchor}}}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def _caption(self, metrics: Sequence[MetricResult], part: int) -> str:
        first = self.tasks[0]
        sizes = f"{first.counts.expected} samples" + (" (a subset)" if first.limit else "")
        made_by = {m.metric: f"{m.metric} by {m.scorer}" if m.scorer else m.metric for m in metrics}
        more = " (continued)" if part else ""
        return f"{first.task}{more} on {first.dataset}, {sizes}; 95 % intervals; {', '.join(made_by.values())}."

    def significantly_best(self, key: Number) -> int | None:
        """The row whose number is significantly better than that of every other row that has it."""
        held = [(row, m) for row, task in enumerate(self.tasks) for m in task.metrics if _key(m) == key]
        if self.tested is None or len(held) < 2 or any(metric.strict.value is None for _, metric in held):
            return None
        best = min(held, key=lambda item: sort_value(item[1]))[0]
        return best if all(self.tested.differ(key, best, row) for row, _ in held if row != best) else None


def _head(task: TaskResult, metric: MetricResult) -> str:
    """Name, unit and direction of a column, and below them what scored it."""
    arrow = r"$\downarrow$" if metric.direction == "lower" else r"$\uparrow$"
    unit = f" ({metric.unit})" if metric.unit else ""
    head = f"{latex_text(short(metric, task) + unit)} {arrow}"
    return rf"{head} {{\scriptsize {latex_text(brief_scorer(metric.scorer))}}}" if metric.scorer else head


def _latex_axes(axes: Sequence[str]) -> list[str]:
    """A line above the heads that names the axes, for a task that reports them separately."""
    if not any(axes):
        return []
    spans = [(name, len(list(same))) for name, same in groupby(axes)]
    ends = list(accumulate((count for _, count in spans), initial=1))
    rules = [rf"\cmidrule(lr){{{first + 1}-{last}}}" for first, last in pairwise(ends)]
    heads = [rf"\multicolumn{{{count}}}{{c}}{{{latex_text(name)}}}" for name, count in spans]
    return [" & ".join(["", *heads]) + r" \\", " ".join(rules)]


def _key(metric: MetricResult) -> Number:
    return metric.metric, metric.name


def _latex_cell(metric: MetricResult | None, best: bool, dagger: bool, other_scorer: str) -> str:
    """The number and its interval; a dagger where it is not calibrated, and its scorer where that is not the head's."""
    if metric is None or metric.strict.value is None:
        return "--"
    places = decimals(metric.strict)
    value = number(metric.strict.value, places).replace("-", "$-$")
    ends = interval(metric.strict, places).replace("∞", r"$\infty$").replace("-", "$-$")
    shown = (rf"\textbf{{{value}}}" if best else value) + (r"$^\dagger$" if dagger else "")
    notes = " ".join(filter(None, [ends, latex_text(other_scorer)]))
    return shown + (rf" {{\scriptsize {notes}}}" if notes else "")


def latex_text(text: str) -> str:
    """Text without commands, in which a long word may be broken after punctuation."""
    words = ["".join(_latex_character(c, len(word) > _LONG) for c in word) for word in plain(text).split(" ")]
    return " ".join(words)


def _latex_character(character: str, long: bool) -> str:
    return _LATEX.get(character, character) + (r"\allowbreak{}" if long and character in ",/:@[" else "")
