"""The registry, and that every registered name is what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from speech_eval.engine.task import TASKS, Task
from speech_eval.errors import BadInput, MissingExtra, UnknownName, nearest, require
from speech_eval.metrics.catalog import METRICS
from speech_eval.registry import Registry, load_file


def test_every_built_in_task_and_metric_loads_under_its_own_name() -> None:
    for name in METRICS:
        assert METRICS.get(name).id == name
    for name in TASKS:
        task = TASKS.get(name)()
        assert task.name == name
        assert all(metric in METRICS for variant in task.variants.values() for metric in variant.metrics)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mos", r"Did you mean mos\[distillmos@7\] or mos\[dnsmos-p835\] or .*\?"),
        ("wer[seed-tts-eval@2024]", r"Did you mean wer\[seed-tts-eval@2024-06\]"),
        ("xyz", "See: speech-eval list metrics"),
    ],
)
def test_an_unknown_name_is_answered_by_those_like_it(name: str, hint: str) -> None:
    with pytest.raises(UnknownName, match=hint):
        METRICS.get(name)


def test_a_taken_name_is_not_overridden_in_silence() -> None:
    names: Registry[int] = Registry("number", "speech_eval.none", {})
    names.add("one", 1)
    names.add("one", 1)
    with pytest.raises(BadInput, match="already registered"):
        names.add("one", 2)


def test_a_cell_of_a_notebook_can_be_run_again() -> None:
    names: Registry[type] = Registry("class", "speech_eval.none", {})
    first, again, other = (type(name, (), {"__module__": "__main__"}) for name in ("Cell", "Cell", "Other"))
    names.add("one", first, first)
    names.add("one", again, again)
    assert names.get("one") is again
    with pytest.raises(BadInput, match="already registered"):
        names.add("one", other, other)


def test_a_name_that_a_package_adds_while_it_is_looked_up_is_found() -> None:
    class Adding(Registry[int]):
        def _discover(self) -> None:
            self.add("found", 1)

    assert Adding("number", "speech_eval.none", {}).get("found") == 1


def test_an_unknown_name_suggests_the_nearest() -> None:
    names: Registry[int] = Registry("number", "speech_eval.none", {"eleven": "a:b"})
    with pytest.raises(UnknownName, match=r"No number is named 'elven'.*Did you mean eleven"):
        names.get("elven")


def test_a_name_far_from_many_is_answered_by_the_command_that_lists_them() -> None:
    class Listed(Registry[int]):
        listed = "speech-eval list numbers"

    names: Registry[int] = Listed("number", "speech_eval.none", {f"number-{i}": "a:b" for i in range(500)})
    for name in ("", "x" * 10_000):
        with pytest.raises(UnknownName, match=r"See: speech-eval list numbers$") as refusal:
            names.get(name)
        assert len(str(refusal.value)) < 200
    with pytest.raises(UnknownName, match=r"Did you mean number-7 or .*\? See: speech-eval list numbers$"):
        names.get("numbr-7")
    assert nearest("zzz", map(str, range(500))).endswith("and 480 more.")


def test_what_discovery_adds_is_found_at_the_first_question() -> None:
    class Discovered(Registry[int]):
        def _discover(self) -> None:
            self.add("late", 3)

    assert Discovered("number", "speech_eval.none", {}).get("late") == 3


def test_a_missing_package_names_its_extra() -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'speech-eval-harness\[ray\]'"):
        require("no_such_package_anywhere", "ray")


def test_a_task_names_its_primary_and_a_known_interface() -> None:
    fields = {"version": 1, "dataset": "d", "protocol": "p", "description": "d"}
    with pytest.raises(BadInput, match="not among its metrics"):
        Task(name="t", interface="SpeechRecognizer", metrics=("a",), primary="b", **fields)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="names no known interface"):
        Task(name="t", interface="Telepathy", metrics=("a",), primary="a", **fields)  # type: ignore[arg-type]


def test_a_file_imports_what_lies_beside_it_and_never_what_lies_beside_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "word_beside.py").write_text(f"WORD = '{name}'\n")
        (tmp_path / name / "model.py").write_text("from word_beside import WORD\n")
    assert load_file(tmp_path / "a" / "model.py").WORD == "a"
    with pytest.raises(BadInput, match=r"b/model\.py: the module 'word_beside' is loaded already, from .*/a/"):
        load_file(tmp_path / "b" / "model.py")
    monkeypatch.delitem(sys.modules, "word_beside")
