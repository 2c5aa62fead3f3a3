"""Booktabs tables for papers: the best number is bold only where it is significantly better than every other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, groupby, pairwise

from speech_eval.analysis.aligned import aligned, task_obstacles
from speech_eval.analysis.report import decimals, interval, number, plain, primary, short, sort_value
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.records import MetricResult, Results, TaskResult
from speech_eval.statistics.multiple import holm
from speech_eval.statistics.paired import ALPHA, paired_test

_Key = tuple[str, str, str]  # task, metric, name
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def latex(runs: Sequence[RunDirectory], results: Sequence[Results]) -> str:
    """One booktabs table per task and dataset, with a row per model and a column per headline number. The best is bold
    where it is significantly better than every other (paired test, Holm, 5 %). Needs `\\usepackage{booktabs}`."""
    pools: dict[tuple[str, str], list[tuple[int, TaskResult]]] = {}
    for position, result in enumerate(results):
        for task in result.tasks:
            pools.setdefault((task.task, task.dataset_sha256), []).append((position, task))
    tables = []
    for pool in pools.values():
        tables.append(_latex_table(runs, results, sorted(pool, key=lambda item: sort_value(primary(item[1])))))
    return "\n".join(tables)


def _latex_table(
    runs: Sequence[RunDirectory], results: Sequence[Results], pool: Sequence[tuple[int, TaskResult]]
) -> str:
    first = pool[0][1]
    columns = list(dict.fromkeys(_key(task, m) for _, task in pool for m in task.metrics if m.headline or m.primary))
    shown = {_key(task, m): short(m, task) for _, task in pool for m in task.metrics}
    about = {_key(task, m): m for _, task in pool for m in task.metrics}
    heads = [_latex_text(f"{shown[key]} ({about[key].unit})" if about[key].unit else shown[key]) for key in columns]
    arrows = [r"$\downarrow$" if about[key].direction == "lower" else r"$\uparrow$" for key in columns]
    bold = {key: significantly_best(runs, pool, key) for key in columns}
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\begin{tabular}{l" + "r" * len(columns) + "}",
        r"\toprule",
        *_latex_axes([about[key].axis for key in columns]),
        " & ".join(["Model", *(f"{head} {arrow}" for head, arrow in zip(heads, arrows, strict=True))]) + r" \\",
        r"\midrule",
    ]
    for position, task in pool:
        found = {_key(task, metric): metric for metric in task.metrics}
        cells = [_latex_cell(found.get(key), bold[key] == position) for key in columns]
        lines.append(" & ".join([_latex_text(results[position].model), *cells]) + r" \\")
    sizes = f"{first.counts.expected} samples" + (" (a subset)" if first.limit else "")
    protocols = ", ".join(dict.fromkeys(key[1] for key in columns))
    caption = f"{first.task} on {first.dataset}, {sizes}; 95 % intervals; {protocols}."
    bolds = r" Bold: significantly better than every other model (paired test, Holm, 5\,\%)."
    lines += [
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{_latex_text(caption)}{bolds}}}",
        rf"\label{{tab:{re.sub('[^a-z0-9]+', '-', first.task.lower()).strip('-')}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_axes(axes: Sequence[str]) -> list[str]:
    """A line above the heads that names the axes, for a task that reports them separately."""
    if not any(axes):
        return []
    spans = [(name, len(list(same))) for name, same in groupby(axes)]
    ends = list(accumulate((count for _, count in spans), initial=1))
    rules = [rf"\cmidrule(lr){{{first + 1}-{last}}}" for first, last in pairwise(ends)]
    heads = [rf"\multicolumn{{{count}}}{{c}}{{{_latex_text(name)}}}" for name, count in spans]
    return [" & ".join(["", *heads]) + r" \\", " ".join(rules)]


def _key(task: TaskResult, metric: MetricResult) -> _Key:
    return task.task, metric.metric, metric.name


def _latex_cell(metric: MetricResult | None, best: bool) -> str:
    if metric is None or metric.strict.value is None:
        return "--"
    places = decimals(metric.strict)
    value = number(metric.strict.value, places).replace("-", "$-$")
    ends = interval(metric.strict, places).replace("∞", r"$\infty$").replace("-", "$-$")
    return (rf"\textbf{{{value}}}" if best else value) + (rf" {{\scriptsize {ends}}}" if ends else "")


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in plain(text))


def significantly_best(runs: Sequence[RunDirectory], pool: Sequence[tuple[int, TaskResult]], key: _Key) -> int | None:
    """The position of the run whose number is better than that of every other run in the pool, by the paired test with
    Holm's correction; None where there is no such run, or where a run cannot be compared with it."""
    task, metric_id, name = key
    held = [(p, m) for p, t in pool for m in t.metrics if (m.metric, m.name) == (metric_id, name)]
    if len(held) < 2 or any(metric.strict.value is None for _, metric in held):
        return None
    best = min(held, key=lambda item: sort_value(item[1]))[0]
    p_values = []
    for other in (position for position, _ in held if position != best):
        if task_obstacles(runs[best], runs[other], task):
            return None
        found = [p for p in aligned([runs[best], runs[other]], task) if (p.metric, p.summary.name) == (metric_id, name)]
        if not found:
            return None
        seed = f"compare/{task}/{metric_id}/{name}"
        a, b = found[0].sides
        p_values.append(paired_test(found[0].summary, a, b, found[0].groups, seed=seed).p_value)
    known = [p for p in p_values if p is not None]
    return best if len(known) == len(p_values) and max(holm(known)) < ALPHA else None
