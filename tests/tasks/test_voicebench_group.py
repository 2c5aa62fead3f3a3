"""`--tasks voicebench` in one command: nine subsets from a small hub of true schemas and sizes, the overall."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from math import fsum
from pathlib import Path

import pytest
from support.hub_repositories import repositories
from support.hub_server import HubServer
from support.judge_server import JudgeServer

from speech_eval import load_run, report, score, verify
from speech_eval.analysis.voicebench_overall import SUBSETS
from speech_eval.engine.task import named
from speech_eval.metrics.judge import CACHE_VARIABLE, VARIABLE

pytest.importorskip("datasets")
pytestmark = pytest.mark.slow

# In the place of the package qa_metrics, which needs an older NumPy: it accepts an answer that holds the reference.
PEDANT = """
class PEDANT:
    def evaluate(self, references, answer, question):
        return references[0] in answer
"""


def judged(asked: str) -> str:
    return "Yes" if "Yes or No" in asked else "4"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the cache, the stand-in of qa_metrics and the run of all nine subsets in it."""
    folder = tmp_path_factory.mktemp("voicebench")
    (folder / "packages" / "qa_metrics").mkdir(parents=True)
    (folder / "packages" / "qa_metrics" / "__init__.py").touch()
    (folder / "packages" / "qa_metrics" / "pedant.py").write_text(PEDANT)
    with HubServer({"hlt-lab/voicebench": repositories()["hlt-lab/voicebench"]}) as hub, JudgeServer(judged) as judge:
        done = command(folder, hub.environment, "--judge", judge.spec, "-o", str(folder / "run"))
        assert done.returncode == 0, done.stderr
        assert "voicebench" in done.stdout and "overall" in done.stdout
    yield folder


def command(folder: Path, environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    own = {"SPEECH_EVAL_CACHE": str(folder / "cache"), "HF_HOME": str(folder / "hf"), "COLUMNS": "160"}
    asked = ["--model", "oracle", "--tasks", "voicebench", "--limit", "4", "--workers", "1", "--max-failures", "99"]
    return subprocess.run(
        [sys.executable, "-m", "speech_eval", "run", *asked, *words],
        env={**os.environ, **own, **environment, "PYTHONPATH": str(folder / "packages")},
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_the_group_is_the_nine_subsets_of_the_overall() -> None:
    assert {name.removeprefix("voicebench-") for name in named(["voicebench"])} == set(SUBSETS)


def test_the_overall_is_the_mean_of_the_nine_numbers(place: Path) -> None:
    tasks = {task.task: task for task in load_run(place / "run").results.tasks}
    numbers = {
        name: {(m.metric, m.name): m.strict.value for m in tasks[f"voicebench-{name}"].metrics} for name in SUBSETS
    }
    sd_qa = [numbers["sd-qa"]["qa[voicebench]", "gpt"], numbers["sd-qa"]["pedant[voicebench]", "panda"]]
    parts = [20 * (numbers[name]["judge[voicebench]", "score"] or 0) for name in SUBSETS[:3]]
    parts += [fsum(value or 0 for value in sd_qa) / 2]
    parts += [
        next(m.strict.value or 0 for m in tasks[f"voicebench-{name}"].metrics if m.primary) for name in SUBSETS[4:]
    ]
    (row,) = [row for row in csv.DictReader(report(place / "run", "csv").splitlines()) if row["task"] == "voicebench"]
    assert float(row["strict"]) == pytest.approx(fsum(parts) / 9) and "not comparable" in row["scorer"]


def test_the_runs_own_replies_are_enough_to_score_and_verify_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(place / "nothing"))
    monkeypatch.syspath_prepend(str(place / "packages"))
    monkeypatch.setenv("PYTHONPATH", str(place / "packages"))
    copy = shutil.copytree(place / "run", place / "copy")
    before = (copy / "results.json").read_bytes()
    assert verify(copy).differences == []
    score(copy)
    assert (copy / "results.json").read_bytes() == before


def test_without_pedant_the_other_numbers_are_there_and_a_note_says_what_is_missing(place: Path) -> None:
    shutil.rmtree(place / "packages", ignore_errors=True)
    with JudgeServer(lambda asked: "no idea") as judge:
        words = [
            "--tasks",
            "voicebench-sd-qa,voicebench-wildvoice",
            "--judge",
            judge.spec.replace("small", "vague"),
            "-o",
        ]
        done = command(place, {"HF_HUB_OFFLINE": "1"}, *words, str(place / "alone"))
    assert done.returncode == 0, done.stderr
    assert "Without pedant[voicebench]" in done.stderr and "speech-eval-harness[pedant]" in done.stderr
    (sd_qa, wild) = load_run(place / "alone").results.tasks
    assert [metric.metric for metric in sd_qa.metrics] == ["qa[voicebench]"] * 2
    found = {metric.name: metric.strict.value for metric in (*sd_qa.metrics, *wild.metrics)}
    assert (found["gpt"], found["unparsed-votes"]) == (0.0, 100.0)  # garbage is counted
    assert (found["score"], found["unparsed"]) == (1.0, 100.0)
