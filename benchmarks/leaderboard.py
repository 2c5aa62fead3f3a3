"""Build time of the leaderboard by number of runs, and response time of the largest site.

    python benchmarks/leaderboard.py [--runs 10 100 1000] [--tasks 10] [--samples 4]

Each run directory has `--tasks` tasks with three numbers and `--samples` stored samples per task, without audio. The
output is one JSON line per number of runs: wall-clock and CPU seconds (which do not depend on machine load),
milliseconds per run, megabytes, and growth (the ratio of times over the ratio of runs to the previous line; 1 is
linear). Where Chromium is installed, also the seconds until the index of the largest site is drawn and until a search
over all its boards is answered.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter

_ROOT = Path(__file__).resolve().parent.parent
# remove this folder from the path: the script has the name of the package it measures
sys.path[:1] = [str(_ROOT), str(_ROOT / "tests")]

from support.chromium import CHROMIUM, Browser  # noqa: E402
from support.run_fixture import ASR, LATENCY, TTS, write_run  # noqa: E402

from speech_eval.engine.run_directory import RunDirectory, write_json  # noqa: E402
from speech_eval.leaderboard.build import build  # noqa: E402

_KINDS = (ASR, TTS, LATENCY)


def make_runs(root: Path, count: int, tasks: int, samples: int) -> None:
    """Write `count` copies of one run directory, each with different numbers."""
    pattern = RunDirectory(write_run(root.parent / "pattern", "m", samples=samples, audio=False))
    results, manifest = pattern.results(), pattern.manifest()
    by_name = {task.task: task for task in results.tasks}
    names = {f"{_KINDS[i % 3]}-{i}": _KINDS[i % 3] for i in range(tasks)}
    for kind in ("samples", "outputs", "transcripts", "scores"):
        for name, source in names.items():
            shutil.copy(pattern.file(kind, source), pattern.file(kind, name))
        for source in _KINDS:
            pattern.file(kind, source).unlink()
    pattern.write_manifest(
        manifest.model_copy(update={"tasks": {name: manifest.tasks[source] for name, source in names.items()}})
    )
    for index in range(count):
        path = root / f"m{index}"
        shutil.copytree(pattern.path, path)
        shift = 1 + index / count
        made = [_shifted(by_name[source], name, shift) for name, source in names.items()]
        write_json(path / "results.json", results.model_copy(update={"model": f"model-{index}", "tasks": made}))


def _shifted(task, name, shift):  # type: ignore[no-untyped-def]
    metrics = []
    for metric in task.metrics:
        s = metric.strict
        moved = {end: value * shift for end in ("value", "low", "high") if (value := getattr(s, end)) is not None}
        metrics.append(metric.model_copy(update={"strict": s.model_copy(update=moved)}))
    return task.model_copy(update={"task": name, "metrics": metrics})


def answer_times(index: Path) -> dict[str, float]:
    """Seconds until the index is drawn, and until a search over every board is answered."""
    with tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
        start = perf_counter()
        browser.open(index.as_uri(), "document.querySelector('[data-board] thead button')")
        drawn = perf_counter() - start
        start = perf_counter()
        browser.run(
            "const i = document.querySelector('#filter'); i.value = 'model-99';"
            "i.dispatchEvent(new Event('input', {bubbles: true}))"
        )
        browser.wait("document.querySelector('[data-filter-count]').textContent", 60)
        first = perf_counter() - start
        start = perf_counter()
        browser.run(
            "const f = document.querySelector('#filter'); f.value = 'model-98'; f.dispatchEvent("
            "new Event('input', {bubbles: true})); new Promise(done => setTimeout(done, 70))"
        )
        again = perf_counter() - start
    return {
        "index_seconds": round(drawn, 2),
        "first_search_seconds": round(first, 2),
        "search_seconds": round(again, 2),
    }


def cpu_seconds() -> float:
    """CPU seconds of this process and of the processes it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--samples", type=int, default=4)
    arguments = parser.parse_args()
    before: tuple[int, float] | None = None
    for count in arguments.runs:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "runs"
            make_runs(root, count, arguments.tasks, arguments.samples)
            start, cpu = perf_counter(), cpu_seconds()
            site = build([root], Path(folder) / "site")
            seconds = perf_counter() - start
            size = sum(file.stat().st_size for file in site.index.parent.rglob("*") if file.is_file())
            report = {
                "runs": count,
                "tasks": arguments.tasks,
                "seconds": round(seconds, 2),
                "cpu_seconds": round(cpu_seconds() - cpu, 2),
                "ms_per_run": round(1000 * seconds / count, 2),
                "megabytes": round(size / 1e6, 1),
            }
            if before:
                report["growth"] = round((seconds / before[1]) / (count / before[0]), 2)
            if CHROMIUM and count == max(arguments.runs):
                report |= answer_times(site.index)
            before = count, seconds
            print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
