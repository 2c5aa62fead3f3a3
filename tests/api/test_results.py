"""What the API returns: frames, notebook tables and plain data with the content that the commands print."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from speech_eval import Run, calibrate, compare, evaluate, gate, load_run, report, score_records, selftest
from speech_eval.analysis.shown import html_table
from speech_eval.cli.main import app
from speech_eval.errors import BadInput
from speech_eval.statistics.multiple import ADJUST

RULES = "- {task: asr, metric: 'wer[whisper-normalizer@20250625]/wer', margin: 2.0}\n- {task: asr, failures: 0}\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("runs")
    return [evaluate(name, "asr", limit=25, output=folder / name) for name in ("noisy", "oracle")]


def said(*words: object) -> Any:
    return json.loads(CliRunner().invoke(app, [*map(str, words), "--json"]).stdout)


def test_a_run_has_frames_of_its_numbers_and_samples(runs: list[Run]) -> None:
    numbers, samples = runs[0].frame(), runs[0].samples("asr")
    first = runs[0].results.tasks[0].metrics[0]
    assert numbers[numbers["name"] == first.name]["strict"].iloc[0] == first.strict.value
    assert len(samples) == 25 and list(samples["id"]) == list(runs[0].samples()["id"])


def test_a_run_shows_its_table(runs: list[Run]) -> None:
    shown = runs[0]._repr_html_()
    assert shown.startswith("<table>") and "wer" in shown and "noisy" in shown


def test_a_table_escapes_whatever_stands_in_it() -> None:
    shown = html_table([{"<b>": "<script>alert(1)</script>\u202e"}], "<i>&")
    assert "<script" not in shown and "<b>" not in shown and "<i>" not in shown and "\u202e" not in shown


def test_the_correction_is_holms_or_that_of_benjamini_and_hochberg(runs: list[Run]) -> None:
    by = {name: compare(*runs, correction=name) for name in ADJUST}
    assert by["holm"] == compare(*runs)
    for name, adjust in ADJUST.items():
        tested = [d for d in by[name].differences if d.adjusted is not None]
        assert tested and [d.adjusted for d in tested] == pytest.approx(adjust([float(d.p_value or 0) for d in tested]))
    assert by["bh"].to_dict() == said("compare", runs[0].path, runs[1].path, "--correction", "bh")
    assert "p (BH)" in by["bh"].rows()[0]


def test_compare_returns_what_the_command_prints(runs: list[Run]) -> None:
    found = compare(*runs)
    assert found.to_dict() == said("compare", runs[0].path, runs[1].path)
    assert len(found.frame()) == len(found.differences) and "A - B" in found._repr_html_()


def test_gate_returns_what_the_command_prints(runs: list[Run], tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    found = gate(runs[0], rules, baseline=runs[1])
    assert found.to_dict() == said("gate", runs[0].path, "--rules", rules, "--baseline", runs[1].path)
    assert len(found.frame()) == 2 and found.outcome in found._repr_html_()
    assert gate(runs[0].path, [j.rule for j in found.judgments], baseline=str(runs[1].path)) == found


def test_calibrate_and_selftest_return_what_the_commands_print(runs: list[Run]) -> None:
    noise = calibrate([runs[0], runs[0]])
    assert noise.to_dict() == said("gate", "calibrate", runs[0].path, runs[0].path) and "SE" in noise._repr_html_()
    trials = selftest(runs[1], pairs=100)
    assert trials.to_dict() == said("gate", "selftest", runs[1].path, "--pairs", "100")
    assert "held" in trials._repr_html_() and len(trials.frame()) == len(trials.rows())


def test_report_is_the_document_of_the_command(runs: list[Run], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(runs[0].path), "--format", "latex"])
    assert report(runs[0], "latex", tmp_path / "table.tex") == done.stdout == (tmp_path / "table.tex").read_text()
    with pytest.raises(BadInput, match="report format 'pdf'"):
        report(runs, "pdf")


def test_records_are_scored(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"id": 1, "hypothesis": "good word", "reference": "good words"}\n')
    found = score_records("wer[whisper-normalizer@20250625]", tmp_path / "r.jsonl")
    assert found["aggregate"]["strict"]["wer"] == 50.0


def test_reading_a_run_writes_nothing(runs: list[Run]) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in runs[0].path.rglob("*")}

    before = state()
    run = load_run(os.fspath(runs[0].path))
    read = (run.results, run.manifest, run.failures(), run.to_dict(), run.frame(), run.samples(), run._repr_html_())
    assert len(read) == 7 and compare(run, runs[1]) and report(run)
    assert state() == before
