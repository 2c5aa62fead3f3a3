"""Which results follow from the stored lines, so that a finished run goes on in the time that reading it takes.

What this machine has computed is remembered in its own cache, by digest: of the lines, of what the manifest says of the
tasks, of the code that computes, and of `results.json`. Nothing in the run can claim it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from speech_eval.assets.store import cache_dir
from speech_eval.cache import file_sha256, write_atomically
from speech_eval.engine import run_files
from speech_eval.engine.run_directory import KINDS, RESULTS, RunDirectory
from speech_eval.errors import SpeechEvalError
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import Results

_HARNESS = Path(__file__).resolve().parents[1]


def settle(run: RunDirectory, results: Results) -> None:
    """Remember that `results`, which the run now holds, follow from its lines. Results in which a scorer broke are not
    remembered, for it is asked again; and nothing is where the cache cannot be written."""
    if not any(metric.unscored for task in results.tasks for metric in task.metrics):
        with contextlib.suppress(SpeechEvalError):
            write_atomically(_note(run), b"")


def settled(run: RunDirectory) -> Results | None:
    """The results that the run holds, where this machine computed them from the lines that it holds."""
    return run.results() if run.has_results() and _note(run).is_file() else None


def _note(run: RunDirectory) -> Path:
    """The file of the cache whose presence says so."""
    manifest = run.manifest()
    told = {
        "tasks": {name: record.line() for name, record in manifest.tasks.items()},
        "about": [manifest.model.spec, manifest.label, manifest.seed],
        "lines": {name: [_digest(run, kind, name) for kind in KINDS] for name in manifest.tasks},
        "results": hashlib.sha256(run_files.read(run.path, RESULTS)).hexdigest(),
        "code": [_code(), version("numpy"), version("scipy"), sys.version],
        "metrics": sorted({_source(name) for record in manifest.tasks.values() for name in record.metrics}),
    }
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return cache_dir() / "settled" / key


def _digest(run: RunDirectory, kind: str, task: str) -> str:
    digest = hashlib.sha256()
    for line in run.raw_lines(kind, task):
        digest.update(line + b"\n")
    return digest.hexdigest()


@cache
def _code() -> str:
    """sha256 of the harness's own code."""
    found = [file_sha256(path) for path in sorted(_HARNESS.rglob("*.py"))]
    return hashlib.sha256("".join(found).encode()).hexdigest()


@cache
def _source(metric: str) -> str:
    """sha256 of the file of a metric's class, which may be a plug-in's."""
    file = getattr(sys.modules.get(METRICS.get(metric).__module__), "__file__", None)
    return file_sha256(file) if file else metric
