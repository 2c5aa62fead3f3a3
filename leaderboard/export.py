"""What the site publishes for programs: JSON with its schema, the same as scripts for the pages, and an Atom feed.

A page opened from a disk may not read a JSON file, but it may load a script that registers the object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pydantic import BaseModel

import speech_eval
from speech_eval.analysis import report
from speech_eval.analysis.human_baseline import uncalibrated
from speech_eval.engine.run_directory import disk_errors
from speech_eval.leaderboard.boards import Board, Column, ColumnData, Row, note
from speech_eval.leaderboard.load import Run, Skipped
from speech_eval.progress import visible
from speech_eval.records import Estimate, MetricResult, ModelInfo, Record, Results

SCHEMA_VERSION = 3
_NAMESPACE = "http://www.w3.org/2005/Atom"
_MOST = 100
_EPOCH = "1970-01-01T00:00:00Z"
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class CellData(Record):
    """`strict` counts failures as the worst value; `compat` is null where it equals `strict`; `note` names a scorer
    other than the column's, and says where the number is not calibrated."""

    strict: Estimate
    compat: Estimate | None
    note: str


class MarkData(Record):
    """A label on a row that is not comparable with the others in some way, and its meaning."""

    text: str
    meaning: str


class RowData(Record):
    """A run on a board; `cells` are in the order of the columns, null where the run lacks the metric. `point` is its
    value of the board's sweep; `folded`: a further point of a sweep, shown on request."""

    run: str
    page: str
    model: str
    license: str
    parameters: int | None
    seed: int
    point: int | float | None
    folded: bool
    rank: int | None
    rank_shared: bool
    human: bool
    subset: bool
    failures: int
    expected: int
    failure_words: str
    verdict: str
    at: str
    marks: list[MarkData]
    cells: list[CellData | None]


class CorrelationData(Record):
    """How far a number agrees with what people said, over the systems of the board."""

    people: str
    other: str
    pearson: float
    spearman: float
    n: int


class BoardData(Record):
    """`data/boards/<anchor>.json`: one comparable table. `ranked_by`: what separates ranks, empty without ranks."""

    schema_version: int = SCHEMA_VERSION
    task: str
    anchor: str
    distinction: str
    sweep: str
    ranked: bool
    ranked_by: str
    facts: dict[str, str]
    columns: list[ColumnData]
    rows: list[RowData]
    listeners: list[CorrelationData]


class RunData(Record):
    """`data/runs/<id>.json`: a run's identity and all its numbers, as the run directory holds them."""

    schema_version: int = SCHEMA_VERSION
    id: str
    page: str
    at: str
    verdicts: list[dict[str, Any]]
    model: ModelInfo
    results: Results


class SiteData(Record):
    """`data/leaderboard.json`: the table of contents, with the file of each part."""

    schema_version: int = SCHEMA_VERSION
    harness_version: str
    boards: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    charts: list[dict[str, Any]]
    skipped: list[dict[str, str]]


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the three kinds of file, under the names of their classes."""
    kinds: tuple[type[BaseModel], ...] = (SiteData, BoardData, RunData)
    return {"schema_version": SCHEMA_VERSION} | {kind.__name__: kind.model_json_schema() for kind in kinds}


def board_data(board: Board) -> BoardData:
    """A board as it is published."""
    return BoardData(
        task=board.task,
        anchor=board.anchor,
        distinction=board.distinction,
        sweep=board.sweep,
        ranked=board.ranked,
        ranked_by=board.ranked_by,
        facts=board.facts,
        columns=[_column(column) for column in board.columns],
        rows=[_row(row, board.columns) for row in board.rows],
        listeners=[
            CorrelationData(**{name: getattr(one, name) for name in CorrelationData.model_fields})
            for one in board.listeners
        ],
    )


def _column(column: Column) -> ColumnData:
    return ColumnData(**column.model_dump(exclude={"low", "high"}))


def _row(row: Row, columns: Sequence[Column]) -> RowData:
    model = row.run.manifest.model
    return RowData(
        run=row.run.id,
        page=f"runs/{row.run.id}.html",
        model=row.run.results.name,
        license=model.license,
        parameters=model.parameters,
        seed=row.run.results.seed,
        point=row.point,
        folded=row.folded,
        rank=row.rank,
        rank_shared=row.tied,
        human=row.human,
        subset=not row.result.leaderboard_grade,
        failures=row.failures,
        expected=row.result.counts.expected,
        failure_words=report.failure_words(row.result.counts),
        verdict=row.run.verdicts[-1].outcome if row.run.verdicts else "",
        at=row.run.at,
        marks=[MarkData(text=mark.text, meaning=mark.meaning) for mark in row.marks],
        cells=[_cell(row, metric, column) for metric, column in zip(row.metrics, columns, strict=True)],
    )


def _cell(row: Row, metric: MetricResult | None, column: Column) -> CellData | None:
    if metric is None:
        return None
    compat = metric.compat if report.differs(metric) else None
    return CellData(strict=metric.strict, compat=compat, note=note(row, column, metric))


def run_data(run: Run) -> RunData:
    """A run as it is published."""
    return RunData(
        id=run.id,
        page=f"runs/{run.id}.html",
        at=run.at,
        verdicts=[{"outcome": v.outcome, "baseline": v.baseline, "reasons": list(v.reasons)} for v in run.verdicts],
        model=run.manifest.model,
        results=run.results,
    )


def site_data(
    boards: Sequence[Board], runs: Sequence[Run], charts: Sequence[Mapping[str, Any]], skipped: Sequence[Skipped]
) -> SiteData:
    """The table of contents."""
    return SiteData(
        harness_version=speech_eval.__version__,
        boards=[
            {"task": b.task, "anchor": b.anchor, "rows": len(b.rows), "facts": b.facts, "file": _board_file(b)}
            for b in boards
        ],
        runs=[
            {
                "id": run.id,
                "model": run.results.name,
                "page": f"runs/{run.id}.html",
                "file": f"data/runs/{run.id}.json",
                "at": run.at,
            }
            for run in runs
        ],
        charts=[{"id": c["id"], "title": c["title"], "file": f"data/charts/{c['id']}.json"} for c in charts],
        skipped=[{"path": item.path, "reason": item.reason} for item in skipped],
    )


def _board_file(board: Board) -> str:
    return f"data/boards/{board.anchor}.json"


# ---------------------------------------------------------------------------------------------- feed


def feed(runs: Sequence[Run]) -> str:
    """An Atom feed (RFC 4287): the newest runs first, each with its primary numbers. Runs without a time are left out.

    Addresses are relative to the feed, as the address of the site is not known when it is built.
    """
    dated = sorted((run for run in runs if run.at), key=lambda run: (run.at, run.id), reverse=True)[:_MOST]
    known = [run.results for run in runs if run.human]
    root = ElementTree.Element("feed", xmlns=_NAMESPACE)
    _add(root, "title", "Speech model leaderboard: new results")
    _add(root, "id", "tag:speech-eval,2026:leaderboard")
    _add(root, "updated", dated[0].at if dated else _EPOCH)
    _add(_add(root, "author"), "name", "speech-eval")
    _add(root, "link", rel="alternate", href="index.html")
    for run in dated:
        entry = _add(root, "entry")
        _add(entry, "title", run.results.name)
        _add(entry, "id", f"tag:speech-eval,2026:run/{run.id}")
        _add(entry, "updated", run.at)
        _add(entry, "link", rel="alternate", href=f"runs/{run.id}.html")
        _add(entry, "summary", _summary(run, known))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _summary(run: Run, known: Sequence[Results]) -> str:
    parts = []
    for task in run.results.tasks:
        words = [f"{task.task}:"]
        if (metric := report.primary(task)) is not None:
            words += [report.short(metric, task), report.quantity(metric.strict, metric.unit)]
            words += filter(None, [report.provenance(metric.scorer, metric.metric not in uncalibrated(task, known))])
        parts.append(" ".join(words) + ("" if task.leaderboard_grade else " (subset)"))
    return "; ".join(parts)


def _add(parent: ElementTree.Element, name: str, text: str = "", **attributes: str) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name, attributes)
    child.text = _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", visible(text)) or None
    return child


# ---------------------------------------------------------------------------------------------- files


def write_text(path: Path, text: str) -> None:
    """Write a file of the site. Text from models may hold half a surrogate pair, which UTF-8 cannot store."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", errors="replace"))


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write `data` as JSON."""
    write_text(path, _json(data) + "\n")


def write_both(path: Path, name: str, data: Mapping[str, Any]) -> None:
    """Write `path`.json, and `path`.js which registers the same object under `name` with the page that loads it."""
    write_json(path.with_name(path.name + ".json"), data)
    write_script(path, name, data)


def write_script(path: Path, name: str, data: Mapping[str, Any]) -> None:
    """Write `path`.js, which registers `data` under `name`."""
    write_text(path.with_name(path.name + ".js"), f"speechEval.register({json.dumps(name)}, {_json(data)});\n")


def _json(data: Mapping[str, Any]) -> str:
    # ASCII only: line separators of Unicode end no line of a script, and half a surrogate pair stays readable
    return json.dumps(_visible(data), ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def _visible(data: Any) -> Any:
    """Plain data without characters in its texts that a page would obey rather than show."""
    if isinstance(data, str):
        return visible(data)
    if isinstance(data, Mapping):
        return {_visible(key): _visible(value) for key, value in data.items()}
    return [_visible(item) for item in data] if isinstance(data, list | tuple) else data


def shown(value: Any) -> Any:
    """What a template prints: text without control characters, markup still being markup."""
    return type(value)(visible(value)) if isinstance(value, str) else value
