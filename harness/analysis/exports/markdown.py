"""Markdown tables, with every number of the runs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from speech_eval.analysis.report import FOOTNOTE, label, rows, unranked
from speech_eval.records import Results

VALUE = 4  # the column of the number


def markdown(results: Sequence[Results]) -> str:
    """One table with a line per number, primary numbers in bold, and footnotes."""
    lines = [
        "| Task | Model | Metric | Scorer | Value [95 % interval] | compat | n | Failures |",
        "|---|---|---|---|---|---|--:|--:|",
    ]
    found = rows(results)
    for row in found:
        name = label(row.metric)
        cells = [markdown_cell(cell) for cell in row.cells(f"{row.metric.axis}: {name}" if row.metric.axis else name)]
        if row.metric.primary:
            cells[VALUE] = f"**{cells[VALUE]}**"
        lines.append("| " + " | ".join(cells) + " |")
    notes = [f"\\* {FOOTNOTE}", *map(markdown_cell, unranked(found))]
    return "\n".join(lines) + "\n\n" + "\n\n".join(notes) + "\n"


def markdown_cell(text: str) -> str:
    """Text in which no Markdown or HTML has an effect."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#!|~])", r"\\\1", text)
