"""What the command line promises: JSON on every command, exit codes, nothing heavy for light work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from speech_eval.cli.compare import as_typed
from speech_eval.cli.main import app

runner = CliRunner()


def said(*words: str) -> Any:
    done = runner.invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("tasks", {"asr", "seed-tts", "latency"}),
        ("models", {"noisy", "oracle", "failing", "whisper-base", "hibari", "espeak-ng", "openai", "cascade"}),
        ("metrics", {"wer[seed-tts-eval@2024-06]", "mos[dnsmos-p835]", "ttfa[first-audible@2]"}),
        ("data", {"asterisk-en", "librivox-en", "sentences-en"}),
    ],
)
def test_list(kind: str, expected: set[str]) -> None:
    rows = said("list", kind, "--json")[kind]
    assert expected <= {row.get("name") or row["id"] for row in rows}


def test_data_list_names_license_languages_and_presence() -> None:
    for row in said("data", "list", "--json")["data"]:
        assert row["license"] and row["languages"] and isinstance(row["present"], bool)


def test_doctor_tells_extras_and_licensed_weights() -> None:
    found = said("doctor", "--no-verify", "--json")
    assert {"asr", "tts", "metrics", "demo", "ray"} <= set(found["extras"])
    assert found["extras"]["asr"]["packages"]["torch"]
    for asset in found["assets"]:
        assert asset["license"] and asset["packages"] and asset["verified"] is False


def test_audio_below_the_folder_is_named_as_one_types_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert as_typed(str(tmp_path / "run" / "a.flac")) == str(Path("run", "a.flac"))
    assert as_typed("/elsewhere/a.flac") == "/elsewhere/a.flac"


def test_data_check_of_a_fetched_set() -> None:
    said("data", "fetch", "librivox-en", "--json")
    assert said("data", "check", "librivox-en", "--json")["problems"] == []


def test_data_check_exits_2_on_problems(tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_text('{"id": "a", "text": "x", "audio": "none.wav"}\n')
    done = runner.invoke(app, ["data", "check", str(tmp_path / "set.jsonl"), "--json"])
    assert done.exit_code == 2 and "none.wav" in json.loads(done.stdout)["problems"][0]


@pytest.mark.slow
def test_run_report_compare_verify_and_board_speak_json(tmp_path: Path) -> None:
    for name in ("noisy", "oracle"):
        said("run", "--model", name, "--tasks", "asr", "--limit", "25", "--output", str(tmp_path / name), "--json")
    a, b = str(tmp_path / "noisy"), str(tmp_path / "oracle")
    assert len(said("report", a, b, "--json")["runs"]) == 2
    assert said("score", a, "--json")["runs"][0]["tasks"][0]["counts"]["ok"] == 25
    assert said("compare", a, b, "--json")["differences"]
    assert said("verify", a, "--json")["differences"] == []
    assert Path(said("leaderboard", "build", a, b, "--output", str(tmp_path / "site"), "--json")["index"]).is_file()


@pytest.mark.parametrize("format", ["markdown", "csv"])
def test_report_formats(tmp_path: Path, format: str) -> None:
    said("run", "--model", "noisy", "--tasks", "asr", "--limit", "5", "--output", str(tmp_path), "--json")
    done = runner.invoke(app, ["report", str(tmp_path), "--format", format])
    assert done.exit_code == 0 and "noisy" in done.stdout and "wer" in done.stdout


@pytest.mark.slow
def test_reading_commands_import_no_torch(tmp_path: Path) -> None:
    for name in ("noisy", "oracle"):
        said("run", "--model", name, "--tasks", "asr", "--limit", "25", "--output", str(tmp_path / name), "--json")
    (tmp_path / "rules.yaml").write_text("- {task: asr, failures: 0}\n")
    a, b, rules, site = (str(tmp_path / name) for name in ("noisy", "oracle", "rules.yaml", "site"))
    for words in (
        ["compare", a, b],
        ["gate", a, "--rules", rules, "--baseline", b],
        ["report", a],
        ["leaderboard", "build", a, b, "-o", site],
        ["list", "metrics"],
    ):
        code = (
            "import sys; from typer.testing import CliRunner; from speech_eval.cli.main import app; "
            f"assert CliRunner().invoke(app, {words!r}).exit_code == 0; print('torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "False", words
