"""Compare and gate on runs of the doubles, whose true differences are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speech_eval.adapters import spec as modelspec
from speech_eval.analysis.aligned import obstacles
from speech_eval.analysis.compare import compare
from speech_eval.cli.main import app
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.errors import BadInput, NotComparable
from speech_eval.gate.decisions import judge
from speech_eval.gate.findings import Outcome
from speech_eval.gate.rules import Rule, load_rules

WER = "wer[whisper-normalizer@20250625]/wer"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDirectory]:
    base = tmp_path_factory.mktemp("runs")
    made = {}
    specs = {"good": "noisy,error_rate=0.05", "bad": "noisy,error_rate=0.3", "oracle": "oracle", "failing": "failing"}
    for name, spec in specs.items():
        runner.run(modelspec.parse(spec), ["asr"], base / name, Settings(limit=60))
        made[name] = RunDirectory(base / name)
    runner.run(modelspec.parse("noisy"), ["asr"], base / "other", Settings(limit=50))
    made["other"] = RunDirectory(base / "other")
    return made


def test_a_run_against_itself_differs_in_nothing(runs: dict[str, RunDirectory]) -> None:
    for difference in compare(runs["good"], runs["good"]).differences:
        assert difference.difference.value == 0.0 and difference.p_value == 1.0


def test_a_real_difference_is_found_and_its_interval_excludes_zero(runs: dict[str, RunDirectory]) -> None:
    wer = next(d for d in compare(runs["bad"], runs["good"]).differences if d.primary)
    assert wer.difference.low is not None and wer.difference.low > 0
    assert wer.adjusted is not None and wer.p_value is not None and wer.p_value <= wer.adjusted < 0.05


def test_swapping_the_runs_swaps_the_sign(runs: dict[str, RunDirectory]) -> None:
    one = compare(runs["bad"], runs["good"]).differences[0].difference
    two = compare(runs["good"], runs["bad"]).differences[0].difference
    assert one.value is not None and two.value is not None and one.value == pytest.approx(-two.value)


def test_runs_on_other_data_are_refused_with_the_reason_or_marked(runs: dict[str, RunDirectory]) -> None:
    with pytest.raises(NotComparable, match="limit is 60 and 50"):
        compare(runs["good"], runs["other"])
    assert compare(runs["good"], runs["other"], force=True).forced == obstacles(runs["good"], runs["other"])


def outcome(runs: dict[str, RunDirectory], run: str, baseline: str | None, **rule: object) -> tuple[Outcome, int]:
    verdict = judge(runs[run], [Rule.model_validate({"task": "asr", **rule})], runs[baseline] if baseline else None)
    return verdict.outcome, verdict.exit_code


@pytest.mark.parametrize(
    ("run", "baseline", "rule", "expected"),
    [
        ("good", None, {"metric": WER, "max": 50}, ("pass", 0)),
        ("bad", None, {"metric": WER, "max": 10}, ("regression", 1)),
        ("good", None, {"metric": WER, "min": 50}, ("regression", 1)),
        ("good", "good", {"metric": WER, "margin": 0}, ("pass", 0)),
        ("bad", "good", {"metric": WER, "margin": 1}, ("regression", 1)),
        ("good", "bad", {"metric": WER, "margin": 0}, ("pass", 0)),
        ("failing", "oracle", {"metric": WER, "margin": 1}, ("regression", 1)),
        ("oracle", None, {"failures": 0}, ("pass", 0)),
        ("failing", None, {"failures": 5}, ("regression", 1)),
        ("good", None, {"metric": WER, "margin": 1}, ("could not judge", 2)),
        ("good", "other", {"metric": WER, "margin": 1}, ("could not judge", 2)),
        ("good", None, {"metric": "wer[unknown]/wer", "max": 1}, ("could not judge", 2)),
        ("good", None, {"metric": WER, "max": 50, "minimum_n": 61}, ("could not judge", 2)),
        ("good", None, {"task": "seed-tts", "failures": 0}, ("could not judge", 2)),
    ],
    ids=str,
)
def test_verdicts(
    runs: dict[str, RunDirectory], run: str, baseline: str | None, rule: dict[str, object], expected: tuple[str, int]
) -> None:
    assert outcome(runs, run, baseline, **rule) == expected


def test_samples_lost_from_a_stored_run_cannot_pass(runs: dict[str, RunDirectory], tmp_path: Path) -> None:
    runner.run(modelspec.parse("oracle"), ["asr"], tmp_path, Settings(limit=30))
    file = RunDirectory(tmp_path).file("outputs", "asr")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:20]))
    runner.rescore(tmp_path, Settings())
    scores = RunDirectory(tmp_path).file("scores", "asr")
    kept = set(RunDirectory(tmp_path).outputs("asr"))
    scores.write_text("".join(line for line in scores.read_text().splitlines(True) if json.loads(line)["id"] in kept))
    runner.report(tmp_path)
    verdict = judge(RunDirectory(tmp_path), [Rule(task="asr", metric=WER, max=100)])
    assert verdict.outcome == "could not judge"
    assert judge(RunDirectory(tmp_path), [Rule(task="asr", failures=0)]).outcome == "regression"


def test_one_verdict_drives_json_and_exit_code(runs: dict[str, RunDirectory], tmp_path: Path) -> None:
    rules = tmp_path / "gates.yaml"
    rules.write_text(f"- {{task: asr, metric: '{WER}', max: 1}}\n- {{task: asr, failures: 0}}\n")
    done = CliRunner().invoke(app, ["gate", str(runs["bad"].path), "--rules", str(rules), "--json"])
    said = json.loads(done.stdout)
    assert done.exit_code == said["exit_code"] == 1
    assert [item["outcome"] for item in said["judgments"]] == ["regression", "pass"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a list of rules"),
        ("{task: asr}", "not a list of rules"),
        ("- {task: asr}", "exactly one of max, min, margin, factor"),
        ("- {task: asr, max: 1}", "names its metric"),
        ("- {task: asr, failures: 0, color: red}", "rule 1"),
        ("- [", "not YAML"),
    ],
)
def test_wrong_rules_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "g.yaml").write_text(text)
    with pytest.raises(BadInput, match=message):
        load_rules(tmp_path / "g.yaml")
