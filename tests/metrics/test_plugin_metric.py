"""A metric from outside the package: one short file, given with `--plugin`, works with run, score and report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speech_eval.cli.main import app
from speech_eval.engine.run_directory import RunDirectory

PLUGIN = '''
from speech_eval import Metric, Sample, ScoringItem, Summary, Unscorable, Value, register_metric


@register_metric
class SpeakingLength(Metric):
    """Words of the transcript over words of the reference."""

    id = "length[words@1]"
    description = "Words of the transcript over words of the reference"
    source = "This file"
    needs = frozenset({"hypothesis"})
    summaries = (Summary("length", "ratio", ("heard", "written"), "%", "higher", 100.0),)

    def score(self, item: ScoringItem) -> Value:
        if item.hypothesis is None:
            raise Unscorable("No transcript.", "Name a recognizer.")
        return Value({"heard": float(len(item.hypothesis.split())), **self._written(item.sample)})

    def failure(self, sample: Sample) -> dict[str, float]:
        return {"heard": 0.0, **self._written(sample)}

    def _written(self, sample: Sample) -> dict[str, float]:
        return {"written": float(len((sample.text or "").split()))}
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "length.py"
    path.write_text(PLUGIN)
    assert len(PLUGIN.strip().splitlines()) <= 40
    return path


def called(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_metric_in_a_file_runs_scores_and_reports(plugin: Path, tmp_path: Path) -> None:
    options = ("--plugin", plugin, "--json")
    called(
        *("run", "--model", "failing,fail_rate=0.5", "--tasks", "asr", "--limit", "6", "--output", tmp_path / "run"),
        *("--metrics", "length[words@1]", "--workers", "1", "--max-failures", "6", *options),
    )
    (metric,) = RunDirectory(tmp_path / "run").results().tasks[0].metrics
    assert (metric.metric, metric.compat.value) == ("length[words@1]", 100.0)
    assert metric.strict.value is not None and 0 < metric.strict.value < 100
    for command in ("score", "report"):
        (told,) = json.loads(called(command, tmp_path / "run", *options))["runs"]
        assert told["tasks"][0]["metrics"][0]["strict"]["value"] == metric.strict.value
    assert "length[words@1]" in called("list", "metrics", "--plugin", plugin, "--json")
