"""CSV: one line per number, unrounded, undefined numbers empty."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from speech_eval.analysis.frame import RESULT_COLUMNS, result_records
from speech_eval.progress import plain
from speech_eval.records import Results
from speech_eval.safety.redaction import redact


def to_csv(results: Sequence[Results]) -> str:
    """The records of `results_frame` as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(RESULT_COLUMNS)
    for record in result_records(results):
        writer.writerow([_cell(record[column]) for column in RESULT_COLUMNS])
    return buffer.getvalue()


def _cell(value: object) -> object:
    # a spreadsheet runs text that starts like a formula, and a model's name is whatever its author chose
    if not isinstance(value, str):
        return value
    shown = plain(redact(value))
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown
