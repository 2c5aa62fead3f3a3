"""Runs made with a file of the user's own: what the manifest keeps of it, and what the commands do without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from speech_eval.cache import file_sha256
from speech_eval.engine.run_directory import RunDirectory

TASK = """
@register_task
def commands():
    return Task(
        name="commands",
        version=1,
        interface="SpeechRecognizer",
        dataset="librivox-en",
        metrics=("length-ratio[characters@1]", "wer[whisper-normalizer@20250625]"),
        primary="wer[whisper-normalizer@20250625]/wer",
        protocol="commands@1",
        description="Word error rate on our own commands",
    )
"""
IMPORTS = """
from speech_eval import Metric, ModelInfo, SpeechRecognizer, Summary, Task, Value, register_metric, register_task
"""
METRIC = """
@register_metric
class LengthRatio(Metric):
    id = "length-ratio[characters@1]"
    description = "Characters of the hypothesis over characters of the reference"
    source = "this file"
    needs = frozenset({"hypothesis"})
    summaries = (Summary("length-ratio", "ratio", ("hypothesis", "reference"), "", "higher"),)

    def score(self, item):
        return Value({"hypothesis": float(len(item.hypothesis)), "reference": float(len(item.sample.text))})

    def failure(self, sample):
        return {"hypothesis": 0.0, "reference": float(len(sample.text))}
"""
MODELS = """
class Stubborn(SpeechRecognizer):
    reads_audio = False

    def info(self):
        return ModelInfo(name="stubborn")

    def transcribe(self, requests):
        return ["no" for _ in requests]

class Nameless(Stubborn):
    def info(self):
        raise RuntimeError("who am I")

class Sticky(Stubborn):
    def close(self):
        raise RuntimeError("still busy")
"""
PLUGIN = IMPORTS + TASK + METRIC + MODELS


def command(*words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", "from speech_eval.cli.main import main; main()", *words]
    return subprocess.run(line, env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "mine.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(scope="module")
def made(plugin: Path) -> Path:
    run = plugin.parent / "run"
    words = ("run", "-m", f"{plugin}:Stubborn", "-t", "commands", "-o", str(run), "--limit", "2")
    done = command(*words, "--plugin", str(plugin))
    assert done.returncode == 0, done.stderr
    return run


def test_a_task_of_at_most_fifteen_lines_runs_from_a_file_outside_the_package(made: Path) -> None:
    assert len(TASK.strip().splitlines()) <= 15
    (result,) = RunDirectory(made).results().tasks
    assert (result.task, result.counts.ok) == ("commands", 2)


def test_a_metric_of_at_most_forty_lines_scores_and_is_listed_from_a_file_outside_the_package(
    made: Path, plugin: Path
) -> None:
    assert len(METRIC.strip().splitlines()) <= 40
    (ratio,) = (m for m in RunDirectory(made).results().tasks[0].metrics if m.name == "length-ratio")
    samples = RunDirectory(made).samples("commands")
    letters = sum(len(str(sample.text)) for sample in samples)
    assert ratio.strict.value == pytest.approx(len("no") * len(samples) / letters, abs=1e-6)
    listed = command("list", "metrics", "--plugin", str(plugin), "--json")
    assert "length-ratio[characters@1]" in listed.stdout


def test_the_manifest_names_the_plugin_and_the_packages_that_made_the_numbers(made: Path, plugin: Path) -> None:
    manifest = RunDirectory(made).manifest()
    (held,) = manifest.plugins
    assert (held.path, held.sha256) == (str(plugin.resolve()), file_sha256(plugin))
    assert {"speech-eval-harness", "jiwer", "numpy"} <= manifest.environment.packages.keys()
    assert manifest.model.interfaces == ["SpeechRecognizer"] and manifest.model.spec.endswith("mine.py:Stubborn")


@pytest.mark.parametrize("words", [("score",), ("verify",), ("report",), ("compare", "RUN"), ("gate selftest",)])
def test_a_run_is_read_again_with_its_plugin_and_without_it_the_error_names_it(
    made: Path, plugin: Path, words: tuple[str, ...]
) -> None:
    line = (*words[0].split(), *(str(made) for _ in words))
    without = command(*line)
    assert without.returncode == 2
    assert str(plugin.resolve()) in without.stderr and f"--plugin {plugin.resolve()}" in without.stderr
    given = command(*line, "--plugin", str(plugin))
    assert given.returncode == (words == ("gate selftest",)), given.stderr  # two samples prove no gate


@pytest.mark.parametrize(("model", "said"), [("Nameless", "who am I"), ("Sticky", "still busy")])
def test_an_exception_in_info_or_close_is_a_message_that_names_the_model(
    plugin: Path, tmp_path: Path, model: str, said: str
) -> None:
    words = ("run", "-m", f"{plugin}:{model}", "-t", "asr", "-o", str(tmp_path / "run"), "--limit", "1")
    done = command(*words)
    assert done.returncode == 2, done.stderr
    assert f"mine.py:{model}" in done.stderr and said in done.stderr and "Traceback" not in done.stderr


def test_a_run_of_an_older_schema_is_refused_in_one_line(made: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "manifest.json").write_text('{"schema_version": 1, "harness_version": "0.1.0", "model": {"licence": ""}}')
    for words in (("report", str(old)), ("compare", str(old), str(made)), ("score", str(old))):
        done = command(*words)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert f"{old / 'manifest.json'}: written in schema version 1, and this speech-eval reads 2." in done.stderr
