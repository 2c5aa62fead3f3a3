"""The CI files of the documentation, run as they are written in a repository that follows them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from speech_eval.engine.run_directory import RunDirectory
from speech_eval.gate.decisions import judge
from speech_eval.gate.rules import load_rules

FILES = Path(__file__).resolve().parents[2] / "docs" / "ci"
MODELS = '''
from speech_eval import SpeechRecognizer, SpeechSynthesizer
from speech_eval.audio import Audio
from speech_eval.testing.fakes import NoisyOracle
import numpy as np


class Recognizer(SpeechRecognizer):
    """A recognizer alone, whose errors and speed are known."""

    reads_audio = False

    def __init__(self, error_rate=0.05, answer_seconds=0.05):
        self.inner = NoisyOracle(error_rate=error_rate, answer_seconds=answer_seconds)
        self.clock, self.bind, self.expect = self.inner.clock, self.inner.bind, self.inner.expect

    def info(self):
        return self.inner.info()

    def transcribe(self, requests):
        return self.inner.transcribe(requests)


class Voice(SpeechSynthesizer):
    """A voice that begins with silence."""

    reads_audio = False

    def __init__(self, ttfb=0.2, silence=0.32):
        self.inner, self.silence = NoisyOracle(error_rate=0.0, ttfb=ttfb), silence
        self.clock, self.bind, self.expect = self.inner.clock, self.inner.bind, self.inner.expect

    def info(self):
        return self.inner.info()

    def synthesize(self, requests):
        return [self.padded(audio) for audio in self.inner.synthesize(requests)]

    def stream(self, request):
        chunks = list(self.inner._cut(self.padded(self.inner._speech(request))))
        for index, chunk in enumerate(chunks):
            self.clock.advance(self.inner.chunk_interval if index else self.inner.ttfb)
            yield chunk

    def padded(self, audio):
        silence = np.zeros(round(self.silence * audio.rate), np.float32)
        return Audio(np.concatenate([silence, audio.samples]), audio.rate)
'''


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with models and the shipped rules in ci/."""
    (tmp_path / "models.py").write_text(MODELS, "utf-8")
    (tmp_path / "ci").mkdir()
    for file in FILES.glob("*.yaml"):
        shutil.copy(file, tmp_path / "ci")
    return tmp_path


def shell(repository: Path, command: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | variables
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euc", command], cwd=repository, env=environment, capture_output=True, text=True, check=False
    )


def workflow(repository: Path, model: str) -> dict[str, subprocess.CompletedProcess[str]]:
    """The steps of the GitHub workflow up to the first that fails, and those that run always; installation aside."""
    file = yaml.safe_load((FILES / "speech-eval.yml").read_text("utf-8"))
    variables = {name: str(value) for name, value in file["env"].items()}
    variables |= {"BASELINE": "models.py:Recognizer", "MODEL": model, "GITHUB_STEP_SUMMARY": "summary.md"}
    steps: list[dict[str, Any]] = [step for step in file["jobs"]["gate"]["steps"] if "run" in step]
    done: dict[str, subprocess.CompletedProcess[str]] = {}
    for step in steps:
        broken = any(before.returncode for before in done.values())
        if step["name"] != "Install" and (not broken or step.get("if") == "always()"):
            done[step["name"]] = shell(repository, step["run"], variables)
    return done


@pytest.mark.slow
def test_the_workflow_passes_a_model_that_is_no_worse(repository: Path) -> None:
    done = workflow(repository, "models.py:Recognizer,error_rate=0.049")
    assert {name: step.returncode for name, step in done.items()} == dict.fromkeys(done, 0), done
    assert set(done) == {"Evaluate", "Does the gate itself hold?", "Gate", "Page with audio"}
    assert "speech-eval gate: pass" in (repository / "summary.md").read_text("utf-8")
    assert (repository / "site" / "index.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defect", "rule"),
    [("error_rate=0.12", "wer[whisper-normalizer@20250625]/wer"), ("answer_seconds=0.075", "response-p50")],
)
def test_the_workflow_blocks_a_planted_regression(repository: Path, defect: str, rule: str) -> None:
    done = workflow(repository, f"models.py:Recognizer,{defect}")
    gate = done["Gate"]
    assert gate.returncode == 1, gate.stdout + gate.stderr
    found = [line for line in gate.stdout.splitlines() if line.startswith("regression")]
    assert found and all("baseline" in line for line in found) and any(rule in line for line in found)
    assert done["Page with audio"].returncode == 0
    cases = ElementTree.parse(repository / "gate.xml").iter("failure")
    assert any("baseline" in (case.text or "") for case in cases)


@pytest.mark.slow
def test_gitlab_and_pre_commit_hold_a_run_against_the_stored_baseline(repository: Path) -> None:
    file = yaml.safe_load((FILES / "gitlab-ci.yml").read_text("utf-8"))["speech-eval"]
    variables = {name: str(value) for name, value in file["variables"].items() if name in ("TASKS", "RULES")}
    hook = yaml.safe_load((FILES / "pre-commit.yaml").read_text("utf-8"))["repos"][0]["hooks"][0]["entry"]
    prepare = "speech-eval run --model models.py:Recognizer --tasks asr -o runs/first && "
    saved = shell(repository, prepare + "speech-eval gate baseline save runs/first", {})
    assert saved.returncode == 0, saved.stderr
    for model, code in (("models.py:Recognizer,error_rate=0.049", 0), ("models.py:Recognizer,error_rate=0.12", 1)):
        shutil.rmtree(repository / "runs")
        ran, gated = (shell(repository, line, variables | {"MODEL": model}) for line in file["script"])
        assert ran.returncode == 0, ran.stderr
        assert gated.returncode == code, gated.stdout + gated.stderr
        assert shell(repository, hook, {}).returncode == code
        assert all(shell(repository, line, variables).returncode == 0 for line in file["after_script"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defect", "outcome"),
    [("ttfb=0.2", "pass"), ("ttfb=0.334", "regression"), ("silence=0.5", "regression")],
)
def test_leading_silence_hides_no_slower_voice(repository: Path, defect: str, outcome: str) -> None:
    command = (
        "speech-eval run --model models.py:Voice --label before --model models.py:Voice,chunk_silence --label after "
        "--tasks latency --limit 20 --rounds 6 -o runs"
    ).replace("chunk_silence", defect)
    assert (done := shell(repository, command, {})).returncode == 0, done.stderr
    after, before = (RunDirectory(repository / "runs" / name) for name in ("after", "before"))
    verdict = judge(after, load_rules(FILES / "latency-tts.yaml"), before)
    assert verdict.outcome == outcome, verdict


def _install_lines() -> list[str]:
    """What each file runs to install the package."""
    steps = yaml.safe_load((FILES / "speech-eval.yml").read_text("utf-8"))["jobs"]["gate"]["steps"]
    github = next(step["run"] for step in steps if step.get("name") == "Install")
    gitlab = yaml.safe_load((FILES / "gitlab-ci.yml").read_text("utf-8"))["speech-eval"]["before_script"]
    return [github, "\n".join(gitlab)]


@pytest.mark.slow
@pytest.mark.parametrize("lines", _install_lines(), ids=["github", "gitlab"])
def test_the_install_lines_install_this_package_with_extras_that_it_has(lines: str, tmp_path: Path) -> None:
    """Run by pip from a checkout, without what a machine without an index cannot have: the dependencies, and the
    writing of files."""
    source = Path(__file__).resolve().parents[2]
    offline = dict.fromkeys(("PIP_DRY_RUN", "PIP_NO_DEPS", "PIP_NO_INDEX"), "1")
    offline |= {"PIP_NO_BUILD_ISOLATION": "0", "SPEECH_EVAL": str(source)}  # 0: the isolation is off
    done = shell(tmp_path, f'pip() {{ "{sys.executable}" -m pip "$@"; }}\n{lines}', offline)
    assert done.returncode == 0, done.stderr
    about = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"Would install {about['name']}" in done.stdout
    (extras,) = re.findall(r'"\$\{SPEECH_EVAL\}\[([^]]+)\]"', lines)
    assert set(extras.split(",")) <= about["optional-dependencies"].keys()
