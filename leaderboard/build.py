"""Builds the site: plain files that open from a disk or any web server and need no network."""

from __future__ import annotations

import functools
import gc
import importlib.util
import logging
import multiprocessing
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import speech_eval
from speech_eval.analysis import report
from speech_eval.engine.run_files import brief
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.leaderboard.boards import Board, anchors, boards
from speech_eval.leaderboard.charts import COMES_OUT, ENTERS, charts, design_space
from speech_eval.leaderboard.error_page import error_view
from speech_eval.leaderboard.export import (
    board_data,
    feed,
    json_schema,
    run_data,
    shown,
    site_data,
    write_both,
    write_json,
    write_script,
    write_text,
)
from speech_eval.leaderboard.load import Run, Skipped, TaskLines, find, left_out, lines, read, reasons
from speech_eval.leaderboard.media import OUTPUT, AudioShelf
from speech_eval.leaderboard.paired import paired_view
from speech_eval.leaderboard.recordings import Choice
from speech_eval.leaderboard.run_page import (
    SampleView,
    TaskView,
    choose,
    environment_facts,
    manifest_json,
    run_facts,
    task_view,
)
from speech_eval.progress import Progress, silent
from speech_eval.records import Results, TaskResult
from speech_eval.statistics.ranking import Shares, shares

logger = logging.getLogger(__name__)
PAGE_ROWS = 25  # rows of a board in the page itself; `static/board.js` shows as many at a time
_FEW = 60  # up to so many runs, every sample that one page shows can be heard in all of them
_BUNDLE = 20  # runs per task of a worker process
_HERE = Path(__file__).parent
_OURS = (".html", ".json", ".js", ".css")
_DATA = Path("data") / "leaderboard.json"


@dataclass(frozen=True)
class Site:
    """What was built: the first page, how many runs and boards it shows, the folders left out with the reason, and how
    many recordings of the user's own data it holds."""

    index: Path
    runs: int
    boards: int
    skipped: list[Skipped]
    own_recordings: int = 0


@dataclass
class _Work:
    """One build: its folder, and what its pages share."""

    out: Path
    shelf: AudioShelf
    templates: Any
    max_samples: int
    anchors: dict[tuple[str, str], str] = field(default_factory=dict)  # (run, task) → board
    humans: list[Results] = field(default_factory=list)  # of human recordings
    also: dict[tuple[str, str], set[str]] = field(default_factory=dict)  # (task, data) → samples that pages show
    cache: dict[tuple[str, str], TaskLines] = field(default_factory=dict)
    clips: dict[tuple[str, str], list[dict[str, str]]] = field(default_factory=dict)
    held: dict[tuple[str, str], Shares] = field(default_factory=dict)  # (run, task) → what ranks are tested by
    written: set[Path] = field(default_factory=set)

    def text(self, name: str, text: str) -> None:
        write_text(self.out / name, text)
        self.written.add(self.out / name)

    def json(self, name: str, data: Any) -> None:
        write_json(self.out / name, data)
        self.written.add(self.out / name)

    def both(self, name: str, data: Any) -> None:
        write_both(self.out / "data" / name, name, data)
        self.written |= {self.out / "data" / f"{name}.json", self.out / "data" / f"{name}.js"}

    def script(self, name: str, data: Any) -> None:
        write_script(self.out / "data" / name, name, data)
        self.written.add(self.out / "data" / f"{name}.js")

    def page(self, template: str, name: str, **context: Any) -> None:
        root = "../" * name.count("/")
        self.text(name, self.templates.get_template(template).render(root=root, **context))


def build(
    runs: Sequence[Path],
    out: Path,
    *,
    audio: bool = True,
    recordings: Choice = "auto",
    max_samples: int = 20,
    progress: Progress | None = None,
) -> Site:
    """Write the site of `runs` (run directories, or folders of them) into `out`.

    `audio=False` leaves all players out. `recordings` says which prompts, originals and questions are played: "auto"
    (the user's own data and datasets whose license allows redistribution), "all" or "none". `max_samples` is the number
    of samples per task on a run's page. The same runs give the same pages. Raises `BadInput` for a path that is not a
    run, and where `out` holds other files.
    """
    progress = progress or silent
    out = Path(out)
    shelf = AudioShelf(out, audio, recordings)
    found, skipped = find(runs)
    _claim(out)
    work = _Work(out, shelf, _templates(), max_samples)
    work.anchors, work.humans = anchors(found), [run.results for run in found if run.human]
    if len(found) <= _FEW:
        _agree_on_samples(work, found)
    shown: list[Run] = []
    problems: list[BadInput] = []
    for run, problem in _all_pages(work, found, progress):
        if problem is None:
            shown.append(run)
        else:
            skipped.append(left_out(run.path, problem))
            problems.append(problem)
    if not shown:
        if len(problems) == 1:
            raise problems[0]
        raise BadInput(f"No readable run was given. {reasons(skipped)}", "Score the runs again: speech-eval score RUN")
    made = _joint_pages(work, shown, skipped)
    _sweep(work)
    progress("Site", len(found), len(found))
    return Site(out / "index.html", len(shown), len(made), skipped, len(work.shelf.own))


def _all_pages(work: _Work, runs: list[Run], progress: Progress) -> Iterator[tuple[Run, BadInput | None]]:
    """Write every run's page, or yield why a run cannot be shown. Many runs are shared among processes."""
    if len(runs) <= _FEW or (os.cpu_count() or 1) == 1:
        for index, run in enumerate(runs):
            progress(f"Page of {report.plain(run.results.name)}", index, len(runs))
            yield run, _try_page(work, run.path, run)
        return
    bundles = [runs[start : start + _BUNDLE] for start in range(0, len(runs), _BUNDLE)]
    anchors = [
        {(run.id, task.task): work.anchors[run.id, task.task] for run in bundle for task in run.results.tasks}
        for bundle in bundles
    ]
    settings = (work.out, work.shelf.enabled, work.shelf.recordings.choice, work.max_samples, work.humans)
    job = functools.partial(_bundle, *settings)
    # reading a run again is quicker than sending thousands of records to another process
    given = [[run.path for run in bundle] for bundle in bundles]
    # processes start afresh: a fork of a process with threads may hang
    spawn = multiprocessing.get_context("spawn")
    # records hold no cycles, so frequent garbage collection among thousands of them only costs time
    with ProcessPoolExecutor(min(8, os.cpu_count() or 1), spawn, gc.set_threshold, (100_000,)) as pool:
        for number, (problems, other) in enumerate(pool.map(job, given, anchors)):
            progress("Pages", number * _BUNDLE, len(runs))
            work.written |= other.written
            work.clips |= other.clips
            work.held |= other.held
            work.shelf.used |= other.used
            work.shelf.own |= other.own
            yield from zip(bundles[number], problems, strict=True)


@dataclass(frozen=True)
class _Made:
    """What a process made of its runs."""

    written: set[Path]
    clips: dict[tuple[str, str], list[dict[str, str]]]
    held: dict[tuple[str, str], Shares]
    used: set[str]
    own: set[str]


def _bundle(
    out: Path,
    audio: bool,
    recordings: Choice,
    max_samples: int,
    humans: list[Results],
    runs: list[Path],
    anchors: dict[tuple[str, str], str],
) -> tuple[list[BadInput | None], _Made]:
    work = _Work(out, AudioShelf(out, audio, recordings), _process_templates(), max_samples, anchors, humans)
    problems = [_try_page(work, path) for path in runs]
    return problems, _Made(work.written, work.clips, work.held, work.shelf.used, work.shelf.own)


@functools.cache
def _process_templates() -> Any:
    """Compiled once per process."""
    return _templates()


def _try_page(work: _Work, path: Path, run: Run | None = None) -> BadInput | None:
    """Write the page of the run at `path`, read again where it is not given; the problem where that fails."""
    try:
        _run_page(work, run or read(path))
    except BadInput as error:
        return error
    except OSError:
        raise  # of the site: it cannot be written
    except Exception as error:
        return _unshowable(path, error)
    return None


def _unshowable(path: Path, error: Exception) -> BadInput:
    logger.debug("the run %s cannot be shown", path, exc_info=error)
    return BadInput(f"{path}: its records cannot be shown ({type(error).__name__}: {brief(str(error))}).")


def _agree_on_samples(work: _Work, runs: Sequence[Run]) -> None:
    """Collect the samples that pages will show, so that each run offers the same ones for comparison."""
    for run in runs:
        for result in run.results.tasks:
            try:
                read = work.cache[run.id, result.task] = lines(run, result)
                names = choose(run, result, read, work.max_samples)
            except Exception:
                continue  # reported where the run's own page is made
            work.also.setdefault((result.task, result.dataset_sha256), set()).update(names)


def _run_page(work: _Work, run: Run) -> None:
    views, errors, heard = [], [], {}
    for result in run.results.tasks:
        read = work.cache.pop((run.id, result.task), None) or lines(run, result)
        also = work.also.get((result.task, result.dataset_sha256), ())
        view = task_view(run, result, read, work.shelf, work.max_samples, also, work.humans)
        views.append(view)
        if (wrong := error_view(run, result, read, work.shelf, work.max_samples)) is not None:
            errors.append(wrong)
        heard[result.task] = {sample.id: _heard(sample) for sample in [*view.samples, *view.others]}
        work.clips[run.id, result.task] = _sounds(view)
        if (held := _shares(run, result, read)) is not None:
            work.held[run.id, result.task] = held
    anchors = [work.anchors[run.id, view.result.task] for view in views]
    context = {
        "facts": run_facts(run),
        "environment": environment_facts(run),
        "manifest": manifest_json(run),
        "anchors": anchors,
        "paired": paired_view(run),
    }
    work.page("run.html", f"runs/{run.id}.html", run=run, tasks=views, errors=bool(errors), **context)
    if errors:
        work.page("errors.html", f"errors/{run.id}.html", run=run, tasks=errors)
    work.json(f"data/runs/{run.id}.json", run_data(run).model_dump(mode="json"))
    work.script(f"samples/{run.id}", {"run": run.id, "model": run.results.name, "tasks": heard})


def _shares(run: Run, result: TaskResult, read: TaskLines) -> Shares | None:
    """What each sample adds to the number that ranks the run; None for a run without a rank."""
    metric = report.primary(result)
    if metric is None or run.human or not (result.ranked and result.leaderboard_grade):
        return None
    parts = {sample: score.parts for (sample, name), score in read.scores.items() if name == metric.metric}
    return shares(metric.formula, metric.strict.value, read.samples, parts)


def _heard(sample: SampleView) -> dict[str, Any]:
    """This run's answer as pages of other runs play and show it."""
    output = next((clip for clip in sample.clips if clip.label == OUTPUT), None)
    return {
        "text": sample.answer.text,
        "src": output.href if output else "",
        "loudness": output.loudness if output else None,
        "problem": output.problem if output else "",
        "pieces": [[piece.kind, piece.reference, piece.hypothesis] for piece in sample.pieces],
    }


def _sounds(view: TaskView) -> list[dict[str, str]]:
    """The outputs of the samples that every run shows."""
    clips = [(s.id, clip) for s in [*view.samples, *view.others] if s.common for clip in s.clips]
    return [
        {"sample": name, "src": clip.href}
        for name, clip in sorted(clips, key=lambda c: c[0])
        if clip.label == OUTPUT and clip.href
    ]


def _joint_pages(work: _Work, shown: list[Run], skipped: list[Skipped]) -> Sequence[Board]:
    """Write the pages that show all runs. Runs that make this impossible are moved from `shown` to `skipped`."""
    try:
        return _site_pages(work, shown, skipped)
    except SpeechEvalError:
        raise
    except Exception:
        faulty = {run.id: problem for run in shown if (problem := _problem_alone(work, run)) is not None}
        if not faulty or len(faulty) == len(shown):
            raise
    skipped += [left_out(run.path, faulty[run.id]) for run in shown if run.id in faulty]
    shown[:] = [run for run in shown if run.id not in faulty]
    return _site_pages(work, shown, skipped)


def _problem_alone(work: _Work, run: Run) -> BadInput | None:
    """Why a site of this run alone cannot be made; None where it can."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            _site_pages(replace(work, out=Path(folder), written=set()), [run], [])
        except SpeechEvalError:
            raise
        except Exception as error:
            return _unshowable(run.path, error)
    return None


def _site_pages(work: _Work, shown: Sequence[Run], skipped: Sequence[Skipped]) -> Sequence[Board]:
    made = boards(shown, work.held)
    for file in sorted((_HERE / "static").iterdir()):
        work.text(f"static/{file.name}", file.read_text("utf-8"))
    for board in made:
        work.both(f"boards/{board.anchor}", board_data(board).model_dump(mode="json"))
    drawn = charts(made, work.clips)
    for chart in drawn:
        work.both(f"charts/{chart['id']}", chart)
    work.json(str(_DATA), site_data(made, shown, drawn, skipped).model_dump(mode="json"))
    work.json("data/schema.json", json_schema())
    work.text("feed.xml", feed(shown))
    space = {"enters": ENTERS, "leaves": COMES_OUT, "cells": design_space(made)}
    work.page("charts.html", "charts.html", charts=drawn, space=space, plotly=_plotly(work))
    licenses = sorted(Counter(run.manifest.model.license for run in shown if run.manifest.model.license))
    context = {"boards": made, "runs": shown, "skipped": skipped, "licenses": licenses, "page_rows": PAGE_ROWS}
    work.page("index.html", "index.html", models=len({run.results.name for run in shown}), **context)
    return made


def _plotly(work: _Work) -> bool:
    """Copy plotly's script from its package; False where it is not installed."""
    package = importlib.util.find_spec("plotly")
    source = Path(package.origin).parent / "package_data" / "plotly.min.js" if package and package.origin else None
    if source is None or not source.is_file():
        return False
    work.text("static/plotly.min.js", source.read_text("utf-8"))
    return True


def _claim(out: Path) -> None:
    """Write only into a new or empty folder, or over an earlier site, whose old pages are removed."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file.", "Choose a folder for the site.")
    if out.is_dir() and any(out.iterdir()) and not (out / _DATA).is_file():
        raise BadInput(f"{out} holds files that are not a leaderboard.", "Choose an empty folder for the site.")
    # claimed at once, so that an interrupted build can be repeated
    if not (out / _DATA).is_file():
        write_json(out / _DATA, {})


def _sweep(work: _Work) -> None:
    """Remove what an earlier build wrote and this one did not."""
    for folder in ("runs", "errors", "static", "data"):
        for file in (work.out / folder).rglob("*"):
            if file.suffix in _OURS and file not in work.written:
                file.unlink()
    work.shelf.sweep()


def _templates() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    environment.globals["version"] = speech_eval.__version__
    environment.globals["report"] = report
    return environment
