"""The main job from end to end on the doubles: same numbers whatever the batch, order, workers or interruptions."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.engine import session as runner
from speech_eval.engine.plan import plan
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.errors import BadInput
from speech_eval.records import Results

ROOT = Path(__file__).resolve().parents[2]
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(model: str, tasks: str, output: Path, **settings: Any) -> Results:
    return runner.run(modelspec.parse(model), tasks.split(","), output, Settings(**{"limit": 30, **settings}))


def cli(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from speech_eval.cli.main import main; main()", *words]
    return subprocess.run(command, cwd=cwd, env=ENV, capture_output=True, text=True, check=False)


def value(results: Results, name: str, kind: str = "strict") -> float | None:
    found = [m for task in results.tasks for m in task.metrics if m.name == name]
    return getattr(found[0], kind).value


# ------------------------------------------------------------------------------------------- numbers


def test_the_oracle_is_perfect_and_noise_is_not(tmp_path: Path) -> None:
    assert value(run("oracle", "asr", tmp_path / "a"), "wer") == 0.0
    noisy = value(run("noisy,error_rate=0.3", "asr", tmp_path / "b", limit=200), "wer")
    assert noisy is not None and 20 < noisy < 45


def test_failures_count_as_all_words_lost_in_strict_and_are_left_out_in_compat(tmp_path: Path) -> None:
    results = run("failing,fail_rate=0.5", "asr", tmp_path)
    counts = results.tasks[0].counts
    assert counts.failed > 0 and counts.ok > 0 and counts.ok + counts.failed == counts.expected == 30
    assert value(results, "wer", "compat") == 0.0
    strict = value(results, "wer")
    assert strict is not None and 20 < strict < 90
    errors = [o.error for o in RunDirectory(tmp_path).outputs("asr").values() if o.status == "failed"]
    assert len(errors) == counts.failed and all(error and "on purpose" in error for error in errors)


def test_latency_of_a_scripted_model_is_exact(tmp_path: Path) -> None:
    results = run("oracle,ttfb=0.25", "latency", tmp_path, limit=5)
    assert value(results, "ttfb-p50") == 0.25
    assert value(results, "ttfa-p50") == 0.25


def test_one_corrupted_output_moves_exactly_its_own_row(tmp_path: Path) -> None:
    run("oracle", "asr", tmp_path)
    directory = RunDirectory(tmp_path)
    before = directory.scores("asr")
    victim = next(iter(directory.outputs("asr").values()))
    directory.append("outputs", "asr", [victim.model_copy(update={"text": "entirely something else"})])
    runner.rescore(tmp_path, Settings())
    changed = {key for key, score in directory.scores("asr").items() if score.parts != before[key].parts}
    assert {sample for sample, _ in changed} == {victim.id}


# --------------------------------------------------------------------------- independence of the means


@pytest.mark.parametrize("other", [{"batch_size": 8}, {"workers": 2}, {"batch_size": 3, "workers": 1}], ids=str)
def test_results_are_equal_byte_for_byte(tmp_path: Path, other: dict[str, int]) -> None:
    run("noisy,fail_rate=0.1", "asr", tmp_path / "a", batch_size=1, workers=1)
    run("noisy,fail_rate=0.1", "asr", tmp_path / "b", **other)
    assert (tmp_path / "a/results.json").read_bytes() == (tmp_path / "b/results.json").read_bytes()


def test_results_do_not_depend_on_the_order_of_samples(tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"s{i}", "text": f"sentence number {i} of many words"}) for i in range(25)]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "set.jsonl").write_text("\n".join(lines) + "\n")
        run("noisy", "asr", tmp_path / name / "run", data=str(tmp_path / name / "set.jsonl"), limit=None)
        random.Random(1).shuffle(lines)
    first, second = ((tmp_path / name / "run/results.json").read_bytes() for name in ("a", "b"))
    assert json.loads(first)["tasks"][0]["metrics"] == json.loads(second)["tasks"][0]["metrics"]


def test_a_smaller_limit_is_part_of_a_larger_one(tmp_path: Path) -> None:
    run("oracle", "asr", tmp_path / "a", limit=10)
    run("oracle", "asr", tmp_path / "b", limit=20)
    small, large = ({s.id for s in RunDirectory(tmp_path / name).samples("asr")} for name in ("a", "b"))
    assert len(small) == 10 and len(large) == 20 and small < large
    assert not RunDirectory(tmp_path / "a").results().tasks[0].leaderboard_grade


# --------------------------------------------------------------------------------------- interruptions


@pytest.mark.slow
def test_kill_at_random_moments_then_resume_gives_the_same_results(tmp_path: Path) -> None:
    words = ["run", "--model", "noisy", "--tasks", "asr", "--limit", "60", "--workers", "1"]
    start = time.perf_counter()
    assert cli(*words, "--output", str(tmp_path / "whole")).returncode == 0
    took = time.perf_counter() - start
    expected = (tmp_path / "whole/results.json").read_bytes()
    chance = random.Random(0)
    command = [
        sys.executable,
        "-c",
        "from speech_eval.cli.main import main; main()",
        *words,
        "--output",
        str(tmp_path / "cut"),
    ]
    kills = 0
    for _ in range(8):
        process = subprocess.Popen(command, cwd=ROOT, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 1.0) * took)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills > 0
    assert cli(*words, "--output", str(tmp_path / "cut")).returncode == 0
    assert (tmp_path / "cut/results.json").read_bytes() == expected


@pytest.mark.parametrize("kind", ["outputs", "scores"])
def test_cut_at_every_kind_of_file_then_resume(tmp_path: Path, kind: str) -> None:
    run("noisy", "asr", tmp_path)
    expected = (tmp_path / "results.json").read_bytes()
    file = RunDirectory(tmp_path).file(kind, "asr")
    whole = file.read_bytes()
    for share in (0.0, 0.31, 0.77, 0.99):
        file.write_bytes(whole[: int(len(whole) * share)])
        (tmp_path / "results.json").unlink()
        run("noisy", "asr", tmp_path)
        assert (tmp_path / "results.json").read_bytes() == expected


def test_a_second_call_asks_the_model_nothing(tmp_path: Path) -> None:
    run("noisy", "asr", tmp_path)
    before = RunDirectory(tmp_path).file("outputs", "asr").stat().st_mtime_ns
    run("noisy", "asr", tmp_path)
    assert RunDirectory(tmp_path).file("outputs", "asr").stat().st_mtime_ns == before


def test_failed_samples_are_asked_again_only_on_request(tmp_path: Path) -> None:
    run("failing", "asr", tmp_path)
    lines = RunDirectory(tmp_path).file("outputs", "asr").read_text().count("\n")
    run("failing", "asr", tmp_path)
    assert RunDirectory(tmp_path).file("outputs", "asr").read_text().count("\n") == lines
    run("failing", "asr", tmp_path, retry_failed=True)
    assert RunDirectory(tmp_path).file("outputs", "asr").read_text().count("\n") > lines


# ----------------------------------------------------------------------------------------- bad input


def test_a_run_directory_refuses_another_model_seed_or_limit(tmp_path: Path) -> None:
    run("noisy", "asr", tmp_path)
    with pytest.raises(BadInput, match="holds a run of 'noisy', not of 'oracle'"):
        run("oracle", "asr", tmp_path)
    with pytest.raises(BadInput, match="with seed 0, not 1"):
        run("noisy", "asr", tmp_path, seed=1)
    with pytest.raises(BadInput, match="with limit 30, not 31"):
        run("noisy", "asr", tmp_path, limit=31)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "no-such-model", "--tasks", "asr"], "No model is named 'no-such-model'"),
        (["--model", "noisi", "--tasks", "asr"], "Did you mean noisy"),
        (["--model", "noisy", "--tasks", "asrr"], "Did you mean asr"),
        (["--model", "noisy", "--tasks", ""], "No task is named"),
        (["--model", "noisy,error_rate=2", "--tasks", "asr"], "error_rate must be a number from 0 to 1, got 2"),
        (["--model", "noisy,color=red", "--tasks", "asr"], "there is no option 'color'"),
        (["--model", "noisy,what", "--tasks", "asr"], "is not key=value"),
        (["--model", "no/such/dir", "--tasks", "asr"], "neither a directory nor a model spec"),
        (["--model", "nofile.py:Model", "--tasks", "asr"], "no such Python file"),
        (["--model", "noisy", "--tasks", "asr", "--data", "no/such.jsonl"], "no/such.jsonl"),
        (["--model", "noisy", "--tasks", "asr", "--metrics", "wer[magic]"], "No metric is named"),
        (["--model", "noisy", "--tasks", "asr", "--limit", "0"], "limit"),
        (
            ["--model", "noisy", "--model", "whisper-tiny.en", "--tasks", "asr", "--dry-run", "--bogus"],
            "No such option",
        ),
        (["--model", "espeak-ng", "--tasks", "asr"], "needs SpeechRecognizer"),
    ],
    ids=str,
)
def test_bad_words_exit_2_and_name_the_thing(tmp_path: Path, words: list[str], message: str) -> None:
    done = cli("run", *words, *(["--output", str(tmp_path / "run")]))
    assert done.returncode == 2
    assert message in re.sub(r"\s+", " ", done.stderr.replace("│", ""))
    assert "Traceback" not in done.stderr


def test_a_file_where_the_run_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("not a folder")
    done = cli("run", "--model", "noisy", "--tasks", "asr", "--output", str(tmp_path / "run"))
    assert done.returncode == 2 and "cannot be written" in done.stderr and "Traceback" not in done.stderr


# ---------------------------------------------------------------------------------- the command line


def test_json_is_one_object_and_nothing_else(tmp_path: Path) -> None:
    done = cli("run", "--model", "noisy", "--tasks", "asr", "--limit", "10", "--output", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"][0]["results"]["tasks"][0]["task"] == "asr"


@pytest.mark.slow
def test_exit_3_when_more_samples_fail_than_allowed(tmp_path: Path) -> None:
    words = ["run", "--model", "failing", "--tasks", "asr", "--limit", "10", "--output", str(tmp_path)]
    assert cli(*words).returncode == 3
    assert cli(*words, "--max-failures", "10").returncode == 0


def test_interrupt_exits_130_and_keeps_what_was_done(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time\nfrom speech_eval import ModelInfo, SpeechRecognizer\n"
        "class Slow(SpeechRecognizer):\n    reads_audio = False\n"
        "    def info(self): return ModelInfo(spec='', name='slow')\n"
        "    def transcribe(self, requests):\n        time.sleep(0.2)\n        return ['word'] * len(requests)\n"
    )
    words = ["run", "--model", f"{tmp_path}/slow.py:Slow", "--tasks", "asr", "--output", str(tmp_path / "run")]
    # A shell starts background jobs with the interrupt ignored, and children inherit that.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", heeding + "from speech_eval.cli.main import main; main()", *words]
    process = subprocess.Popen(command, cwd=ROOT, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    file = tmp_path / "run/outputs/asr.jsonl"
    deadline = time.monotonic() + 60
    while not (file.is_file() and file.read_bytes().count(b"\n") >= 2) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(RunDirectory(tmp_path / "run").outputs("asr")) >= 2


@pytest.mark.slow
def test_several_models_get_a_folder_each(tmp_path: Path) -> None:
    words = [
        "--model",
        "noisy",
        "--model",
        "oracle",
        "--tasks",
        "asr,latency",
        "--limit",
        "5",
        "--output",
        str(tmp_path),
    ]
    done = cli("run", *words, "--json")
    assert done.returncode == 0, done.stderr
    assert {Path(run["path"]).name for run in json.loads(done.stdout)["runs"]} == {"noisy", "oracle"}


def test_metrics_of_the_voice_prompt_are_left_out_where_no_sample_has_one(tmp_path: Path) -> None:
    manifest = tmp_path / "sentences.jsonl"
    manifest.write_text(json.dumps({"id": "a", "text": "Good morning.", "language": "en"}) + "\n")
    similarity, spec = "sim[cam++@zh-en-common]", modelspec.parse("espeak-ng")
    (item,) = plan(spec, ["seed-tts"], Settings(data=str(manifest))).items
    assert similarity not in item.metrics and len(item.metrics) == 3
    assert item.note == f"No sample has a voice prompt: without {similarity}."
    with pytest.raises(BadInput, match="needs a voice prompt, and no sample has one"):  # it was asked for by name
        plan(spec, ["seed-tts"], Settings(data=str(manifest), metrics=(similarity,)))
    (item,) = plan(spec, ["seed-tts"], Settings()).items
    assert similarity in item.metrics and not item.note


def test_dry_run_makes_nothing(tmp_path: Path) -> None:
    done = cli(
        "run", "--model", "whisper-base", "--tasks", "asr", "--output", str(tmp_path / "run"), "--dry-run", "--json"
    )
    assert done.returncode == 0 and json.loads(done.stdout)["dry_run"][0]["tasks"][0]["task"] == "asr"
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------------------- the documentation's code


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of every fenced block of a docs page."""
    return re.findall(r"```(\w+)\n(.*?)```", (ROOT / "docs" / page).read_text("utf-8"), re.S)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["adapters.md", "tasks.md"])
def test_the_examples_of_the_docs_run_from_outside_the_package(tmp_path: Path, page: str) -> None:
    commands = []
    for language, text in blocks(page):
        if language == "python":
            file = tmp_path / text.splitlines()[0].removeprefix("# ")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        elif language == "sh":
            commands += text.replace("\\\n", " ").strip().splitlines()
    assert commands
    for command in commands:
        words = shlex.split(command.replace("whisper-tiny.en", "noisy"))[1:]
        done = cli(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_a_task_takes_15_lines_and_an_adapter_60() -> None:
    adapter = next(text for _, text in blocks("adapters.md") if "class Tone" in text)
    task = next(text for _, text in blocks("tasks.md") if "@register_task" in text)
    assert len([line for line in adapter.splitlines() if line.strip()]) <= 60
    assert len([line for line in task.splitlines() if line.strip()]) <= 15
