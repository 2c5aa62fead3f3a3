"""Results that a command prints, a notebook shows and a data frame holds: the same content each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from speech_eval.errors import require
from speech_eval.progress import plain
from speech_eval.records import Record

if TYPE_CHECKING:
    from pandas import DataFrame


class Shown(Record):
    """A record with a table. Subclasses define `rows`, and `records` where the table rounds its numbers."""

    def caption(self) -> str:
        """One line above the table."""
        return ""

    def rows(self) -> list[dict[str, Any]]:
        """The table that the command prints, as text."""
        raise NotImplementedError

    def records(self) -> list[dict[str, Any]]:
        """The rows of `frame`: unrounded numbers."""
        return self.rows()

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, as the command prints it with `--json`."""
        return self.model_dump(mode="json")

    def frame(self) -> DataFrame:
        """A pandas data frame of `records`. Raises `MissingExtra` without pandas."""
        return require("pandas", "pandas").DataFrame(self.records())

    def _repr_html_(self) -> str:
        return html_table(self.rows(), self.caption())


def html_table(rows: Sequence[Mapping[str, Any]], caption: str = "") -> str:
    """Rows as an HTML table under the names of the first row's columns. All text is escaped."""
    head = "".join(f"<th>{_cell(name)}</th>" for name in (rows[0] if rows else ()))
    body = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row.values())}</tr>" for row in rows)
    titled = f"<caption>{_cell(caption)}</caption>" if caption else ""
    return f"<table>{titled}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    return escape(plain("" if value is None else str(value)))
