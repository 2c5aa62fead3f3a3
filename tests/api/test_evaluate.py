"""The Python API: what `run` does, on names and on objects, silent unless asked."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import speech_eval
from speech_eval import (
    ModelInfo,
    Run,
    SpeechRecognizer,
    Task,
    TranscriptionRequest,
    evaluate,
    evaluate_all,
    list_models,
    list_tasks,
    load_run,
    score,
    verify,
)
from speech_eval.cli.main import app
from speech_eval.engine.task import TASKS
from speech_eval.errors import BadInput, UnknownName

WER = "wer[whisper-normalizer@20250625]"


class Parrot(SpeechRecognizer):
    """Hears the same words in every recording."""

    reads_audio = False
    closed = False

    def __init__(self, words: str) -> None:
        self.words = words

    def info(self) -> ModelInfo:
        return ModelInfo(name="parrot")

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        return [self.words] * len(requests)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with a dataset of two sentences."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set.jsonl").write_text('{"id": "a", "text": "good words"}\n{"id": "b", "text": "bad words"}\n')
    return tmp_path


def wer(run: Run) -> float | None:
    return run.results.tasks[0].metrics[0].strict.value


def test_a_name_gives_what_the_command_gives(tmp_path: Path) -> None:
    run = evaluate("noisy", "asr", output=tmp_path / "api", limit=20, seed=3)
    words = [
        "-m",
        "noisy",
        "-t",
        "asr",
        "-o",
        str(tmp_path / "cli"),
        "--limit",
        "20",
        "--seed",
        "3",
        "--max-failures",
        "9",
    ]
    assert CliRunner().invoke(app, ["run", *words]).exit_code == 0
    assert (run.path / "results.json").read_bytes() == (tmp_path / "cli" / "results.json").read_bytes()


def test_evaluate_has_every_option_of_run() -> None:
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    of_command = {str(option.name) for option in command.params} - {"help"}
    of_function = set(inspect.signature(evaluate).parameters)
    assert of_function - of_command == {"progress"}
    assert of_command - of_function == {"max_failures", "dry_run", "config", "verbose", "json"}


def test_an_adapter_object_is_evaluated_and_stays_open(folder: Path) -> None:
    parrot = Parrot("good words")
    run = evaluate(parrot, "asr", data="set.jsonl")
    assert wer(run) == 25.0 and run.manifest.model.spec == "object:Parrot" and not parrot.closed


def test_another_object_of_the_class_never_gets_the_answers_of_the_first(folder: Path) -> None:
    first, second = (evaluate(Parrot(words), "asr", data="set.jsonl") for words in ("good words", "bad words indeed"))
    assert first.path != second.path and wer(first) != wer(second)


def test_a_task_object_is_run_scored_and_verified_under_its_name(folder: Path) -> None:
    task = Task(
        name="two-sentences",
        version=1,
        interface="SpeechRecognizer",
        dataset="set.jsonl",
        metrics=(WER,),
        primary=f"{WER}/wer",
        protocol="two-sentences@1",
        description="Two sentences",
    )
    run = evaluate(Parrot("bad words"), [task, "asr"], data="set.jsonl")
    assert [result.task for result in run.results.tasks] == ["asr", "two-sentences"]
    assert wer(score(run)) == 25.0 and verify(run).differences == []


def test_a_task_object_may_not_take_a_registered_name(folder: Path) -> None:
    with pytest.raises(BadInput, match="Another task is registered as 'asr'"):
        evaluate(Parrot(""), replace(TASKS.get("asr")(), version=99))


def test_several_models_get_a_folder_each(folder: Path) -> None:
    runs = evaluate_all(["oracle", Parrot("x")], "asr", data="set.jsonl", output="both")
    assert [run.path for run in runs] == [Path("both/oracle"), Path("both/object-Parrot")]


def test_device_is_not_an_option_of_an_object(folder: Path) -> None:
    with pytest.raises(BadInput, match="Parrot"):
        evaluate(Parrot("x"), "asr", data="set.jsonl", device="cpu")


def test_names_are_checked_before_anything_is_written(folder: Path) -> None:
    with pytest.raises(UnknownName, match="latency"):
        evaluate("oracle", "latancy")
    with pytest.raises(BadInput, match="No task is named"):
        evaluate("oracle", [])
    assert not (folder / "runs").exists()


def test_a_call_is_silent_unless_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[str, int, int | None]] = []
    evaluate("oracle", "asr", data="set.jsonl", progress=lambda *step: seen.append(step))
    assert capsys.readouterr() == ("", "") and seen[-1][1:] == (2, 2)
    evaluate("oracle", "asr", data="set.jsonl", output="again", progress=True)
    assert "asr" in capsys.readouterr().err


def test_listings(folder: Path) -> None:
    assert {"asr", "seed-tts"} <= {row["name"] for row in list_tasks()}
    recognizers: list[dict[str, Any]] = list_models("SpeechRecognizer")
    assert all("SpeechRecognizer" in row["interfaces"] for row in recognizers) and recognizers
    with pytest.raises(UnknownName, match="Did you mean SpeechRecognizer"):
        list_models("SpeechRecogniser")


def test_load_run_refuses_what_is_not_a_run(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"manifest\.json"):
        load_run(folder)


def test_public_names_are_the_same_for_tools_and_at_run_time() -> None:
    tree = ast.parse(Path(speech_eval.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {
        (alias.asname or alias.name): f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(imported) == sorted(name for name in speech_eval.__all__ if name != "__version__")
    for name, target in imported.items():
        module, _, attribute = target.partition(":")
        assert getattr(speech_eval, name) is getattr(import_module(module), attribute)


def test_gate_is_the_function_whatever_is_imported_first() -> None:
    import_module("speech_eval.gate.rules")
    assert inspect.isfunction(speech_eval.gate)
