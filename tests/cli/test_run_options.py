"""The options of `run`: a file of options, fractions, patterns, devices, logging; and `python -m speech_eval`."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from speech_eval.cli.main import app


def plans(*words: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["run", *words, "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])["dry_run"]
    return found


def refused(*words: str) -> str:
    done = CliRunner().invoke(app, ["run", "--dry-run", *words])
    assert done.exit_code == 2 or done.exception, done.output
    return " ".join(f"{done.output} {done.exception}".split())


@pytest.fixture
def quiet() -> Iterator[logging.Logger]:
    logger = logging.getLogger("speech_eval")
    yield logger
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()


def test_a_file_gives_every_option_and_the_command_line_wins(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: [oracle, noisy]\ntasks: [asr, latency]\nlimit: 0.1\nbatch-size: 4\nretry_failed: true\n")
    written, named = plans("--config", str(file)), plans("--config", str(file), "--model", "oracle", "--limit", "7")
    assert [job["model"] for job in written] == ["oracle", "noisy"]
    assert [task["task"] for task in written[0]["tasks"]] == ["asr", "latency"]
    assert written[0]["tasks"][0]["samples"] == 23  # a tenth of 233 recordings
    assert [job["model"] for job in named] == ["oracle"] and named[0]["tasks"][0]["samples"] == 7


def test_an_unknown_key_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: oracle\ntask: asr\n")
    assert "no option 'task'" in (said := refused("--config", str(file))) and "Did you mean tasks" in said


@pytest.mark.parametrize("text", ["[1, 2]", "model: {a: 1}", "a: [", "- model"])
def test_a_file_that_is_no_mapping_of_values_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.yaml").write_text(text)
    assert "run.yaml" in (said := refused("--config", str(tmp_path / "run.yaml"))) or "mapping" in said


def test_a_missing_file_is_named() -> None:
    assert "absent.yaml" in refused("--config", "absent.yaml")


def test_a_fraction_is_recorded_as_its_number_of_samples() -> None:
    fraction, number = (
        plans("-m", "oracle", "-t", "asr", "--limit", "0.1"),
        plans("-m", "oracle", "-t", "asr", "--limit", "23"),
    )
    assert fraction == number and fraction[0]["tasks"][0]["limit"] == 23


@pytest.mark.parametrize("limit", ["0", "-1", "1.5", "0.0", "many"])
def test_a_limit_is_a_positive_number_or_a_fraction(limit: str) -> None:
    assert "fraction between 0 and 1" in refused("-m", "oracle", "-t", "asr", "--limit", limit)


def test_patterns_and_groups_name_tasks() -> None:
    names = [task["task"] for task in plans("-m", "noisy", "-t", "asr*,late*")[0]["tasks"]]
    assert names == ["asr", "latency", "latency-load"]
    assert "asr" in refused("-m", "noisy", "-t", "asrr")


def test_device_and_dtype_reach_the_model_that_has_them() -> None:
    found = plans("-m", "whisper-base,dtype=float16", "-t", "asr", "--device", "cpu", "--dtype", "bfloat16")
    assert found[0]["model"] == "whisper-base,dtype=float16,device=cpu"
    assert "'hibari' has no option 'device'" in refused("-m", "hibari", "-t", "seed-tts", "--device", "cuda")


def test_verbose_logs_each_step(tmp_path: Path, quiet: logging.Logger) -> None:
    words = ["run", "-v", "-m", "oracle", "-t", "asr", "--limit", "3", "-o", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert all(step in done.output.lower() for step in ("plan", "load", "generate", "score"))
    assert quiet.level == logging.INFO


def test_after_failures_the_run_says_how_to_see_them_and_verbose_shows_tracebacks(
    tmp_path: Path, quiet: logging.Logger
) -> None:
    words = ["run", "-m", "failing", "-t", "asr", "--limit", "10", "-o", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert "--retry-failed --verbose" in done.output and "Traceback" not in done.output
    again = CliRunner().invoke(app, [*words, "--retry-failed", "--verbose"]).output
    assert re.search(r"Traceback \(most recent call last\):\s+File ", again) and "fakes.py" in again


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "speech_eval", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("speech-eval ")


def test_an_unexpected_error_is_no_regression(tmp_path: Path) -> None:
    """Exit code 1 means a regression, so a bug has another one."""
    code = "from speech_eval.api import doctor\ndef broken(**_): raise ZeroDivisionError\ndoctor.doctor = broken\n"
    code += "import sys; sys.argv = ['speech-eval', 'doctor']\nfrom speech_eval.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(
    ("kind", "interface", "inside", "outside"),
    [
        ("models", "SpeechRecognizer", "whisper-base", "hibari"),
        ("tasks", "AudioCodec", "codec-reconstruction", "asr"),
    ],
)
def test_list_by_interface(kind: str, interface: str, inside: str, outside: str) -> None:
    done = CliRunner().invoke(app, ["list", kind, "--interface", interface, "--json"])
    names = {row["name"] for row in json.loads(done.stdout)[kind]}
    assert inside in names and outside not in names


def test_list_refuses_an_unknown_interface() -> None:
    done = CliRunner().invoke(app, ["list", "models", "--interface", "SpeechRecogniser"])
    assert "SpeechRecognizer" in str(done.exception)
