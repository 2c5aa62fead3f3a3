"""`report --by`: the numbers of slices in the formats of the other reports."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from speech_eval.analysis.exports.csv import csv_lines
from speech_eval.analysis.exports.latex import latex_text
from speech_eval.analysis.exports.markdown import markdown_cell
from speech_eval.analysis.report import (
    brief_scorer,
    decimals,
    interval,
    label,
    number,
    provenance,
    quantity,
    short,
)
from speech_eval.analysis.slices import SliceNumber, SliceReport, difference_text, finding, p_text
from speech_eval.cache import write_atomically
from speech_eval.errors import BadInput
from speech_eval.progress import plain
from speech_eval.statistics.multiple import NAMES

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH = 132


def export_slices(report: SliceReport, format: str, output: Path | None = None) -> str:
    """`report` as a document in `format`, one of `SLICE_FORMATS`; also written to `output` where that is given. Raises
    `BadInput` for another format."""
    if format not in _FORMATS:
        raise BadInput(
            f"There is no report by a column in the format '{format}'.", f"Use one of: {', '.join(SLICE_FORMATS)}."
        )
    document = _FORMATS[format](report)
    if output is not None:
        write_atomically(output, document.encode())
    return document


def tables(report: SliceReport) -> Iterator[Table]:
    """The terminal's tables: one per task and run, in it a block of slices per number."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    for (task, model), numbers in groupby(report.numbers, key=lambda one: (one.task, one.model)):
        made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        made.title, made.title_justify = Text(plain(f"{task}, {model}"), style="bold"), "left"
        made.add_column(Text(plain(report.column)), overflow="fold", min_width=10)
        made.add_column("Value\n[95 % interval]", overflow="fold", min_width=10)
        made.add_column("n", justify="right", no_wrap=True)
        made.add_column("Slice - others", overflow="fold", min_width=10)
        made.add_column(f"p ({NAMES[report.correction]})", overflow="fold")
        made.add_column("", overflow="fold")
        for (_, _), own in groupby(numbers, key=lambda one: (one.result.metric, one.result.name)):
            block = list(own)
            made.add_section()
            made.add_row(Text(plain(_title(block[0], short(block[0].result))), style="bold"))
            for one in block:
                made.add_row(
                    Text(plain(one.slice), style="" if one.stated else "dim"),
                    Text(_value(one)),
                    str(one.result.strict.n),
                    Text(difference_text(one)),
                    Text(p_text(one), style="" if one.adjusted is not None else "dim"),
                    Text(finding(one), style="bold" if one.significant else ""),
                )
        yield made


def text(report: SliceReport) -> str:
    """The terminal's tables as plain text that ends in a newline."""
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=_WIDTH, color_system=None, highlight=False, markup=False, emoji=False)
    for table in tables(report):
        console.print(table)
    console.print(plain(report.caption()), soft_wrap=True)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _title(one: SliceNumber, name: str) -> str:
    arrow = "↓" if one.result.direction == "lower" else "↑"
    made_by = provenance(brief_scorer(one.result.scorer), one.calibrated)
    return f"{name} {arrow}" + (f" {made_by}" if made_by else "")


def _value(one: SliceNumber) -> str:
    return quantity(one.result.strict, one.result.unit)


def _json(report: SliceReport) -> str:
    return json.dumps(report.to_dict(), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _csv(report: SliceReport) -> str:
    records = report.records()
    return csv_lines(list(records[0]), records)


def _markdown(report: SliceReport) -> str:
    """One table; the value of the worst slice is bold where it is significantly worse than the others."""
    found = report.rows()
    heads = [markdown_cell(plain(name)) for name in found[0]]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    place = list(found[0]).index("value")
    for row, one in zip(found, report.numbers, strict=True):
        cells = [markdown_cell(plain(cell)) for cell in row.values()]
        cells[place] = f"**{cells[place]}**" if one.worst and one.significant else cells[place]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", markdown_cell(plain(report.caption())), ""])


def _latex(report: SliceReport) -> str:
    """A table per run, task and number for the package `booktabs`; bold as in Markdown."""
    made = []
    for _, numbers in groupby(
        report.numbers, key=lambda one: (one.task, one.model, one.result.metric, one.result.name)
    ):
        block = list(numbers)
        lines = [r"\begin{table}", r"\centering", r"\begin{tabular}{@{}p{0.3\linewidth}rrrr@{}}", r"\toprule"]
        heads = [latex_text(report.column), *("value", "n", "slice - others", f"p ({NAMES[report.correction]})")]
        lines += [" & ".join(heads) + r" \\", r"\midrule", *(_latex_row(one) for one in block)]
        caption = f"{block[0].model}, {block[0].task}: {_title(block[0], label(block[0].result))}. {report.caption()}"
        lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{_symbols(latex_text(caption))}}}", r"\end{table}"]
        made.append("\n".join(lines) + "\n")
    return "\n".join(made)


def _latex_row(one: SliceNumber) -> str:
    places = decimals(one.result.strict)
    value = number(one.result.strict.value, places)
    value = rf"\textbf{{{value}}}" if one.worst and one.significant else value
    cells = [f"{{}}{latex_text(one.slice)}", f"{value} {interval(one.result.strict, places)}", str(one.result.strict.n)]
    cells += [latex_text(difference_text(one)), latex_text(p_text(one))]
    return _symbols(" & ".join(cells)).replace("[", "{[}") + r" \\"


def _symbols(text: str) -> str:
    for symbol, written in (("∞", r"$\infty$"), ("≥", r"$\geq$"), ("<", r"$<$"), ("—", "--")):
        text = text.replace(symbol, written)
    return text.replace(" ↓", r" $\downarrow$").replace(" ↑", r" $\uparrow$")


_FORMATS: dict[str, Callable[[SliceReport], str]] = {
    "text": text,
    "markdown": _markdown,
    "csv": _csv,
    "json": _json,
    "latex": _latex,
}
SLICE_FORMATS = tuple(_FORMATS)
