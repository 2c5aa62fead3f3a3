"""The terminal's tables of a comparison, one per task: as wide as 80 columns allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from speech_eval.analysis.compare import Comparison, Difference
from speech_eval.analysis.report import (
    brief_scorer,
    decimals,
    difference_unit,
    interval,
    number,
    provenance,
    short_name,
)
from speech_eval.progress import plain
from speech_eval.records import Estimate
from speech_eval.statistics.multiple import NAMES

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


def tables(comparison: Comparison) -> Iterator[Table]:
    """One table per task, and per slice where the comparison is by a column. Each p-value is corrected over the tests
    of its task."""
    tested = Counter(row.task for row in comparison.shown if row.adjusted is not None)
    for (task, name), rows in groupby(comparison.shown, key=lambda row: (row.task, row.slice)):
        title = f"{task}, {comparison.by} = {name}" if comparison.by else task
        yield _table(title, list(rows), NAMES[comparison.correction], tested[task])


def _table(title: str, rows: list[Difference], correction: str, tested: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    made.title, made.title_justify = Text(plain(title), style="bold"), "left"
    made.caption, made.caption_justify = Text(_caption(rows, correction, tested)), "left"
    made.add_column("Metric", overflow="fold", min_width=12)
    for name in ("A", "B", "A - B"):
        made.add_column(name, overflow="fold", min_width=10)
    made.add_column(f"p ({correction})\ndetectable", overflow="fold", min_width=10)
    made.add_column("effect", justify="right", no_wrap=True)
    metrics = [row.metric for row in rows]
    for row in rows:
        p_value = "" if row.adjusted is None else f"{row.adjusted:.4f}"
        least = "" if row.detectable is None else f"{number(row.detectable, 3)}"
        made.add_row(
            _name(row, metrics),
            _value(row.a, row.unit),
            _value(row.b, row.unit),
            _value(row.difference, difference_unit(row.unit)),
            Text(f"{p_value}\n{least}"),
            "" if row.effect_size is None else f"{row.effect_size:.2f}",
        )
    return made


def _name(row: Difference, metrics: Iterable[str]) -> Text:
    """The name of a row, told from those of the other metrics of the table."""
    from rich.text import Text

    name = short_name(row.metric, row.name, metrics)
    arrow = "↓" if row.direction == "lower" else "↑"
    named = Text(plain(f"{name} {arrow}" + (" *" if row.primary else "")))
    if made_by := provenance(brief_scorer(row.scorer), row.calibrated):
        named.append(f"\n{plain(made_by)}", style="dim")
    return named


def _value(estimate: Estimate, unit: str) -> Text:
    from rich.text import Text

    places = decimals(estimate)
    value = number(estimate.value, places)
    shown = Text(f"{value} {unit}".rstrip() if estimate.value is not None else value)
    if ends := interval(estimate, places) if estimate.value is not None else "":
        shown.append(f"\n{ends}", style="dim")
    return shown


def _caption(rows: list[Difference], correction: str, tested: int) -> str:
    sizes = dict.fromkeys(f"{row.n}" if row.n == row.units else f"{row.n} in {row.units} clusters" for row in rows)
    protocols = dict.fromkeys(row.metric for row in rows)
    scorers = dict.fromkeys(row.scorer for row in rows if "@" in row.scorer)
    lines = [f"n = {' or '.join(sizes)}; * primary metric; p-values corrected ({correction}) over {tested} numbers"]
    lines += [", ".join(protocols), *([f"scored by {', '.join(scorers)}"] if scorers else [])]
    return "\n".join(map(plain, lines))
