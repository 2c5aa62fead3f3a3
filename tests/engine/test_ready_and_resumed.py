"""Scorers are proven available before the first answer, an interrupted scoring goes on, and reasons of failures take
linear time."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.api.evaluate import plan
from speech_eval.engine import session as runner
from speech_eval.engine.failures import failure_reasons
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.errors import BadInput, NotFetched, SpeechEvalError
from speech_eval.records import Output, Sample, Score


@pytest.mark.parametrize("recognizer", ["hf:nobody/no-such-recognizer", "no_such_file.py:Recognizer", "hibari"])
def test_a_recognizer_that_cannot_be_used_stops_the_run_before_the_model_answers(
    tmp_path: Path, recognizer: str
) -> None:
    with pytest.raises(SpeechEvalError):
        runner.run("noisy", ["seed-tts"], tmp_path / "run", Settings(limit=2, recognizer=recognizer))
    assert not list(tmp_path.glob("run/outputs/*"))


def test_a_judge_that_is_not_set_or_does_not_answer_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"id": "a", "text": "an answer", "metadata": {"prompt": "a question"}}\n')
    settings = Settings(data=str(data))
    monkeypatch.delenv("SPEECH_EVAL_JUDGE", raising=False)
    with pytest.raises(NotFetched, match="judge"):
        runner.run("oracle", ["voicebench-commoneval"], tmp_path / "run", settings)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("SPEECH_EVAL_JUDGE", f"openai:http://127.0.0.1:{port}/v1#judge,retries=0")
    with pytest.raises(SpeechEvalError):
        runner.run("oracle", ["voicebench-commoneval"], tmp_path / "run", settings)
    assert not list(tmp_path.glob("run/outputs/*"))


def test_a_dry_run_opens_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    (job,) = plan(["hibari"], "seed-tts", output=tmp_path / "run", offline=True, limit=3)
    assert "3 samples" in job.lines()[0] and "heard by whisper-base" in job.lines()[0]
    with pytest.raises(BadInput, match="hf:nobody/nothing"):
        plan(["hf:nobody/nothing"], "asr", output=tmp_path / "run", offline=True)
    assert not (tmp_path / "run").exists()


def test_a_dry_run_of_a_stopped_run_tells_what_is_left(tmp_path: Path) -> None:
    runner.run("noisy", ["asr"], tmp_path / "run", Settings(limit=20))
    file = RunDirectory(tmp_path / "run").file("outputs", "asr")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:12]))
    (job,) = plan(["noisy"], "asr", output=tmp_path / "run", offline=True, limit=20)
    (need,) = job.needs()
    assert (need.stored, need.samples) == (12, 20) and need.seconds is not None
    assert "12 of 20 answers stored" in job.lines()[0]


def test_an_interrupted_scoring_goes_on_and_a_complete_one_is_made_again(tmp_path: Path) -> None:
    results = runner.run(modelspec.parse("noisy"), ["asr"], tmp_path, Settings(limit=20))
    run = RunDirectory(tmp_path)
    file = run.file("scores", "asr")
    kept = file.read_text().splitlines(keepends=True)[:24]
    file.write_text("".join(kept))
    assert runner.rescore(tmp_path, Settings()) == results
    assert file.read_text().startswith("".join(kept)) and len(run.scores("asr")) == 40
    before = file.stat().st_mtime_ns
    assert runner.rescore(tmp_path, Settings()) == results
    assert file.stat().st_mtime_ns != before and len(file.read_text().splitlines()) == 40


def test_reasons_of_failures_take_time_in_proportion_to_the_samples(tmp_path: Path) -> None:
    def seconds(count: int) -> float:
        run = RunDirectory(tmp_path / str(count))
        samples = [Sample(id=f"s{i}", text="a") for i in range(count)]
        outputs = [Output(id=s.id, task="asr", status="ok", seed=0, text="b") for s in samples]
        run.replace("samples", "asr", samples)
        run.replace("outputs", "asr", outputs)
        run.replace(
            "scores",
            "asr",
            [
                Score(id=s.id, metric="m", output="o", status="failed", parts={}, detail={"reason": f"{s.id} is short"})
                for s in samples
            ],
        )
        start = time.process_time()
        (reason,) = failure_reasons(run, "asr")
        assert reason.count == count and reason.text == "s0 is short"
        return time.process_time() - start

    seconds(50)
    small, large = min(seconds(500) for _ in range(3)), seconds(8000)
    assert large < 16 * small * 3  # a pass over all scores for each sample would take 16 times that


def test_weights_of_a_metric_that_cannot_be_had_stop_the_run_and_are_told_by_a_dry_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEECH_EVAL_CACHE", str(tmp_path / "empty"))

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    data = tmp_path / "data.jsonl"
    data.write_text('{"id": "a", "text": "one two", "language": "en"}\n')
    name = "mos[dnsmos-p835]"
    (job,) = plan(["hibari"], "seed-tts", output=tmp_path / "run", offline=True, data=str(data), metrics=name)
    assert job.needs()[0].fetch_bytes > 0 and "fetches" in job.lines()[0]
    ours = {"offline": True, "data": str(data), "metrics": "mos[utmos22-strong]"}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (utmos,) = plan(["hibari"], "seed-tts", output=tmp_path / "run", **ours)
    assert "fetches Blinorot/UTMOS-PyTorch from the hub, size unknown" in utmos.lines()[0]
    kept = tmp_path / "hub" / "models--Blinorot--UTMOS-PyTorch" / "snapshots" / "1" / "utmos_state_dict.pt"
    kept.parent.mkdir(parents=True)
    kept.touch()
    (utmos,) = plan(["hibari"], "seed-tts", output=tmp_path / "run", **ours)
    assert "Blinorot" not in utmos.lines()[0]
    with pytest.raises(SpeechEvalError):
        runner.run("noisy", ["seed-tts"], tmp_path / "run", Settings(data=str(data), metrics=(name,)))
    assert not list(tmp_path.glob("run/outputs/*"))
