"""CSV: one line per number, unrounded, undefined numbers empty."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from speech_eval.analysis.frame import RESULT_COLUMNS, result_records
from speech_eval.progress import plain
from speech_eval.records import Results
from speech_eval.safety.redaction import redact


def to_csv(results: Sequence[Results]) -> str:
    """The records of `results_frame` as CSV."""
    return csv_lines(RESULT_COLUMNS, result_records(results))


def csv_lines(columns: Sequence[str], records: Sequence[Mapping[str, object]]) -> str:
    """Records as CSV under a line with the names of `columns`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for record in records:
        writer.writerow([csv_cell(record[column]) for column in columns])
    return buffer.getvalue()


def csv_cell(value: object) -> object:
    """A value in which a spreadsheet runs nothing."""
    # a spreadsheet runs text that starts like a formula, and a model's name is whatever its author chose
    if not isinstance(value, str):
        return value
    shown = plain(redact(value))
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown
