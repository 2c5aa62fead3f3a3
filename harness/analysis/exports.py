"""The numbers where people paste them: LaTeX tables, the `model-index` of a model card, TensorBoard scalars."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Any

import yaml

from speech_eval.analysis.compare import holm_adjusted, paired, pairs, task_obstacles
from speech_eval.analysis.report import decimals, interval, number, plain, primary, short, sort_value
from speech_eval.analysis.report import label as full_label
from speech_eval.cache import write_atomically
from speech_eval.engine.run_directory import RunDirectory, safe_name
from speech_eval.errors import BadInput, require
from speech_eval.records import MetricResult, Results, TaskResult

LEVEL = 0.05
_Key = tuple[str, str, str]  # task, metric, name
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
# The hub's names of what a task asks for.
_HUB_TASKS = {
    "SpeechRecognizer": "automatic-speech-recognition",
    "SpeechSynthesizer": "text-to-speech",
    "AudioCodec": "audio-to-audio",
    "AudioLanguageModel": "audio-text-to-text",
    "DuplexAgent": "audio-to-audio",
}


# ----------------------------------------------------------------------------------------------- LaTeX


def latex(runs: Sequence[RunDirectory], results: Sequence[Results]) -> str:
    """A booktabs table a task and dataset: a row a model, a column a headline number, the best in bold only where it is
    significantly better than every other (paired test, Holm's correction, 5 %). Needs `\\usepackage{booktabs}`."""
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
    """A line above the heads that names the axes, for a task that keeps them apart."""
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
        found = [
            pair for m, _, pair in pairs(runs[best], runs[other], task) if (m, pair.summary.name) == (metric_id, name)
        ]
        if not found:
            return None
        seed = f"compare/{task}/{metric_id}/{name}"
        p_values.append(paired(found[0].summary, *found[0].sides, found[0].groups, seed).get("p_value"))
    known = [p for p in p_values if p is not None]
    return best if len(known) == len(p_values) and max(holm_adjusted(known)) < LEVEL else None


# ------------------------------------------------------------------------------------------ model index


def model_index(runs: Sequence[RunDirectory], results: Sequence[Results]) -> str:
    """The `model-index` of a Hugging Face model card, as YAML for its header: `strict` headline numbers, with their
    interval and n as `args`, and the dataset's sha256 as its revision."""
    cards: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        cards.setdefault(result.model, []).extend(_card_result(task) for task in result.tasks)
    data = {"model-index": [{"name": name, "results": found} for name, found in cards.items()]}
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1000)


def _card_result(task: TaskResult) -> dict[str, Any]:
    hub_task = _HUB_TASKS.get(task.interface, "other")
    metrics = []
    for metric in task.metrics:
        if metric.strict.value is None or not (metric.headline or metric.primary):
            continue
        arguments = {"low": metric.strict.low, "high": metric.strict.high, "n": metric.strict.n, "unit": metric.unit}
        metrics.append(
            {
                "type": metric.metric.split("[")[0],
                "value": metric.strict.value,
                "name": full_label(metric),
                "args": {name: value for name, value in arguments.items() if value not in (None, "")},
            }
        )
    dataset = {"name": task.dataset, "type": safe_name(task.dataset), "revision": task.dataset_sha256}
    if task.limit:
        dataset["args"] = {"limit": task.limit}  # type: ignore[assignment]
    return {"task": {"type": hub_task, "name": task.task}, "dataset": dataset, "metrics": metrics}


# ------------------------------------------------------------------------------------------- TensorBoard


def tensorboard(results: Sequence[Results], folder: Path) -> list[Path]:
    """Write every number as a scalar, a folder of events a model; the step counts a model's runs in the order given.
    Returns the folders. Raises `MissingExtra` without the package."""
    writers: dict[str, Any] = {}
    steps: dict[str, int] = {}
    module = require("tensorboardX", "tensorboard")
    folders = []
    for result in results:
        if result.model not in writers:
            folders.append(folder / safe_name(result.model))
            writers[result.model] = module.SummaryWriter(str(folders[-1]))
        step = steps.get(result.model, 0)
        steps[result.model] = step + 1
        for task in result.tasks:
            for metric in task.metrics:
                for kind, held in (
                    ("", metric.strict.value),
                    ("/low", metric.strict.low),
                    ("/high", metric.strict.high),
                ):
                    if held is not None:
                        tag = re.sub(r"[^\w./-]", "_", f"{task.task}/{metric.metric}/{metric.name}{kind}")
                        writers[result.model].add_scalar(tag, held, step)
    for writer in writers.values():
        writer.close()
    return folders


# -------------------------------------------------------------------------------------------- all formats

_WITH_RUNS: dict[str, Callable[[Sequence[RunDirectory], Sequence[Results]], str]] = {
    "latex": latex,
    "model-index": model_index,
}
FORMATS = ("text", "markdown", "csv", "json", *_WITH_RUNS, "tensorboard")


def export(runs: Sequence[RunDirectory], results: Sequence[Results], format: str, output: Path | None) -> str:
    """The document of `format`, also written to `output` where that is given; for TensorBoard, what was written."""
    from speech_eval.analysis.report import render

    if format == "tensorboard":
        if output is None:
            raise BadInput("TensorBoard scalars are files.", "Give the log folder with --output.")
        return "".join(f"{folder}\n" for folder in tensorboard(results, output))
    if format not in FORMATS:
        raise BadInput(f"There is no report format '{format}'.", f"Use one of: {', '.join(FORMATS)}.")
    text = _WITH_RUNS[format](runs, results) if format in _WITH_RUNS else render(results, format)  # type: ignore[arg-type]
    if output is not None:
        write_atomically(output, text.encode())
    return text
