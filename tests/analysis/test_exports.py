"""Exports: each is read back by what will read it, and bold means significant."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from speech_eval.adapters import spec as modelspec
from speech_eval.analysis.exports import export
from speech_eval.analysis.exports.latex import latex
from speech_eval.analysis.exports.model_index import model_index
from speech_eval.analysis.exports.tensorboard import tensorboard
from speech_eval.cli.main import app
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.records import Results

RATES = {"good": "noisy,error_rate=0.05", "close": "noisy,error_rate=0.051", "bad": "noisy,error_rate=0.4"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDirectory]:
    base = tmp_path_factory.mktemp("runs")
    for name, spec in RATES.items():
        runner.run(modelspec.parse(spec), ["asr"], base / name, Settings(limit=40))
    return {name: RunDirectory(base / name) for name in RATES}


def some(runs: dict[str, RunDirectory], *names: str) -> tuple[list[RunDirectory], list[Results]]:
    return [runs[name] for name in names], [runs[name].results() for name in names]


def test_the_best_is_bold_where_it_is_significantly_best(runs: dict[str, RunDirectory]) -> None:
    rows = [line for line in latex(*some(runs, "bad", "good")).splitlines() if line.startswith("noisy")]
    assert "error\\_rate=0.05 " in rows[0] and rows[0].count(r"\textbf") == 2 and r"\textbf" not in rows[1]


def test_nothing_is_bold_where_chance_explains_the_difference(runs: dict[str, RunDirectory]) -> None:
    assert r"\textbf" not in latex(*some(runs, "good", "close", "bad"))


def test_a_run_alone_has_no_best(runs: dict[str, RunDirectory]) -> None:
    assert r"\textbf" not in latex(*some(runs, "good"))


def test_latex_is_balanced_and_escapes_a_hostile_name(runs: dict[str, RunDirectory]) -> None:
    directories, results = some(runs, "good", "bad")
    named = [results[0].model_copy(update={"model": r"\input{/etc/passwd} 100% & $x_1^2$ #~"}), results[1]]
    text = latex(directories, named)
    assert r"\textbackslash{}input\{/etc/passwd\} 100\% \& \$x\_1\textasciicircum{}2\$ \#\textasciitilde{}" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {2}
    assert text.count(r"\begin{") == text.count(r"\end{") == 2 and r"\toprule" in text


def test_the_hub_reads_the_model_index(runs: dict[str, RunDirectory]) -> None:
    from huggingface_hub.repocard_data import model_index_to_eval_results

    _, results = some(runs, "good")
    name, found = model_index_to_eval_results(yaml.safe_load(model_index(results))["model-index"])
    assert name == RATES["good"]
    assert {(item.task_type, item.dataset_name, item.metric_type) for item in found} == {
        ("automatic-speech-recognition", "asterisk-en", "wer"),
        ("automatic-speech-recognition", "asterisk-en", "cer"),
    }
    wer = next(item for item in found if item.metric_type == "wer")
    assert wer.metric_value == results[0].tasks[0].metrics[0].strict.value


def test_tensorboard_scalars_count_the_runs_of_a_model(runs: dict[str, RunDirectory], tmp_path: Path) -> None:
    from tensorboardX.proto import event_pb2

    _, results = some(runs, "good", "good", "bad")
    folders = tensorboard(results, tmp_path)
    assert [folder.name for folder in folders] == ["noisy_error_rate_0.05", "noisy_error_rate_0.4"]
    events = _events(next(folders[0].iterdir()), event_pb2.Event)
    wer = [
        (e.step, v.simple_value)
        for e in events
        for v in e.summary.value
        if v.tag.endswith("whisper-normalizer_20250625_/wer")
    ]
    value = pytest.approx(results[0].tasks[0].metrics[0].strict.value)
    assert wer == [(0, value), (1, value)]


def _events(path: Path, kind: type) -> list:  # type: ignore[type-arg]
    """TFRecord: length (8 bytes), its checksum (4), the record, its checksum (4)."""
    data, events, at = path.read_bytes(), [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 8], "little")
        events.append(kind.FromString(data[at + 12 : at + 12 + length]))
        at += 16 + length
    return events


def test_the_command_writes_files_and_names_the_formats(runs: dict[str, RunDirectory], tmp_path: Path) -> None:
    run = str(runs["good"].path)
    assert CliRunner().invoke(app, ["report", run, "--format", "latex", "-o", str(tmp_path / "t.tex")]).exit_code == 0
    assert r"\bottomrule" in (tmp_path / "t.tex").read_text()
    for words in (["--format", "word"], ["--format", "tensorboard"]):
        assert CliRunner().invoke(app, ["report", run, *words]).exit_code != 0


@pytest.mark.parametrize("format", ["text", "markdown", "csv", "json", "latex", "model-index"])
def test_no_format_holds_control_characters(runs: dict[str, RunDirectory], format: str) -> None:
    directory = next(iter(runs.values()))
    hostile = "\x1b[31mred\u202egnp\u2066 \x07"
    results = directory.results().model_copy(update={"label": hostile, "model": hostile})
    written = export([directory], [results], format, None)
    assert not set(written) & set("\x1b\x07\u202e\u2066")
    if format == "json":
        assert json.loads(written)["results"][0]["label"] == hostile
