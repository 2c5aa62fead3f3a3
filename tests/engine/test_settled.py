"""A finished run given again computes nothing that this machine knows to follow from its lines, and all else anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from speech_eval.engine import session
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.settings import Settings


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A finished run whose results are known here."""
    monkeypatch.setenv("SPEECH_EVAL_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data.jsonl"
    data.write_text("".join(f'{{"id": "s{n}", "text": "one two three {n}"}}\n' for n in range(30)))
    session.run("noisy", ["asr"], tmp_path / "run", Settings(data=str(data)))
    return RunDirectory(tmp_path / "run")


def _again(run: RunDirectory) -> bytes:
    session.run("noisy", ["asr"], run.path, Settings(data=str(run.path.parent / "data.jsonl")))
    return (run.path / "results.json").read_bytes()


def _refuse(*_: object) -> None:
    raise AssertionError("computed again")


def test_results_that_are_known_are_not_computed_again(finished: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (finished.path / "results.json").read_bytes()
    monkeypatch.setattr(session, "aggregate", _refuse)
    monkeypatch.setattr(session, "_aggregated", _refuse)
    assert _again(finished) == before
    session.report(finished.path)
    assert (finished.path / "results.json").read_bytes() == before


def _forge_results(run: RunDirectory) -> None:
    file = run.path / "results.json"
    file.write_bytes(file.read_bytes().replace(b'"value": ', b'"value": 1'))


def _drop_a_score(run: RunDirectory) -> None:
    file = run.file("scores", "asr")
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[1:]))


def _forget_the_cache(run: RunDirectory) -> None:
    for note in (run.path.parent / "cache" / "settled").iterdir():
        note.unlink()


@pytest.mark.parametrize("change", [_forge_results, _drop_a_score, _forget_the_cache])
def test_what_is_not_known_is_computed(
    finished: RunDirectory, change: Callable[[RunDirectory], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (finished.path / "results.json").read_bytes()
    change(finished)
    assert _again(finished) == before
    with monkeypatch.context() as patched:  # and is known from then on
        patched.setattr(session, "aggregate", _refuse)
        assert _again(finished) == before


def test_other_scores_give_other_results(finished: RunDirectory) -> None:
    before = (finished.path / "results.json").read_bytes()
    file = finished.file("scores", "asr")
    file.write_bytes(file.read_bytes().replace(b'"errors":0.0', b'"errors":1.0'))
    assert session.report(finished.path).tasks and (finished.path / "results.json").read_bytes() != before


def test_a_run_works_where_the_cache_cannot_be_written(
    finished: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPEECH_EVAL_CACHE", str(tmp_path / "file" / "below"))
    assert _again(finished)
