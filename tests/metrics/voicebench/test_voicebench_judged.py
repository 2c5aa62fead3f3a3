"""VoiceBench's judged subsets, its tasks, and the judge that is asked once and never again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judge_server import JudgeServer

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.remote.endpoint import EndpointError
from speech_eval.analysis.voicebench_overall import SUBSETS
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.engine.task import TASKS
from speech_eval.errors import BadInput, MissingExtra, NotFetched
from speech_eval.metrics import judge as judges
from speech_eval.metrics.base import ScoringItem
from speech_eval.metrics.records_file import evaluate
from speech_eval.metrics.voicebench import replies
from speech_eval.metrics.voicebench.judge import Judge, original_rating, rating
from speech_eval.metrics.voicebench.qa import QA, Pedant, is_yes, original_majority
from speech_eval.records import Output, Sample


def aggregate(metric: str, folder: Path, *records: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps({"id": str(n), **record}) + "\n" for n, record in enumerate(records)))
    found: dict[str, dict[str, float | None]] = evaluate(metric, path)["aggregate"]
    return found


# ----------------------------------------------------------------------------------------------- judge


@pytest.mark.parametrize(
    ("reply", "original", "ours"),
    [
        ("4", 4.0, 4.0),
        (" 3.5\n", 3.5, 3.5),
        ("[[5]]", 5.0, 5.0),
        ("Rating: [[2]]", 2.0, None),
        ("10", 10.0, None),
        ("-1", -1.0, None),
        ("1e1", 10.0, None),
        ("٤", 4.0, None),
        ("４", 4.0, None),
        ("[[3.5]]", None, 3.5),
        ("4/5", None, None),
        ("Score: 4", None, None),
        ("[[4", None, None),
        ("", None, None),
    ],
)
def test_a_rating_is_read_as_the_original_does_and_by_the_scale(
    reply: str, original: float | None, ours: float | None
) -> None:
    assert rating(reply) == ours
    if original is None:
        with pytest.raises(ValueError):
            original_rating(reply)
    else:
        assert original_rating(reply) == original


def test_not_a_number_is_a_rating_to_the_original() -> None:
    assert math.isnan(original_rating("nan")) and rating("nan") is None


def test_the_score_is_the_mean_of_the_votes(tmp_path: Path) -> None:
    found = aggregate("judge[voicebench]", tmp_path, {"scores": ["4", "5", "3"]}, {"scores": ["2", "2", "[[2]]"]})
    assert found["strict"]["score"] == found["compat"]["score"] == 3.0


def test_compat_pools_votes_and_strict_weighs_samples_alike(tmp_path: Path) -> None:
    found = aggregate("judge[voicebench]", tmp_path, {"scores": ["5", "5", "5"]}, {"scores": ["1"]})
    assert (found["strict"]["score"], found["compat"]["score"]) == (3.0, 4.0)


def test_a_vote_that_cannot_be_read_is_the_minimum_in_strict_and_no_number_in_compat(tmp_path: Path) -> None:
    found = aggregate("judge[voicebench]", tmp_path, {"scores": ["5", "5", "4/5"]}, {"scores": ["5", "5", "5"]})
    assert found["strict"] == {"score": 3.0, "unparsed": 50.0}
    assert found["compat"]["score"] is None


def test_the_originals_own_file_is_a_record(tmp_path: Path) -> None:
    record = {"prompt": "Why?", "response": "Because.", "score": ["4", "4", "5"]}
    assert aggregate("judge[voicebench]", tmp_path, record)["compat"]["score"] == pytest.approx(13 / 3)


@given(st.lists(st.sampled_from(["1", "2.5", "5", "[[3]]"]), min_size=1, max_size=5))
def test_readable_votes_give_both_accountings_the_same_mean(votes: list[str]) -> None:
    sample = Sample(id="s", metadata={"scores": votes})
    value = Judge().score(ScoringItem(sample, Output(id="s", task="t", status="ok", seed=0)))
    assert value.compat is not None
    assert value.parts["rating"] == pytest.approx(value.compat["rating"] / value.compat["votes"])


# -------------------------------------------------------------------------------------------------- qa


@pytest.mark.parametrize(
    ("votes", "strict", "compat"),
    [
        (["Yes", "yes", "No"], 100.0, 100.0),
        (["No", "no", "Yes"], 0.0, 0.0),
        (["Yes.", "yes", "YES!"], 100.0, 100 / 3),
        (["Yes.", "Yes.", "no"], 100.0, 0.0),
        (["Yes", "no", "maybe"], 0.0, 100 / 3),
        (["yes", "no"], 0.0, 50.0),
    ],
)
def test_a_majority_of_votes_decides(votes: list[str], strict: float, compat: float, tmp_path: Path) -> None:
    found = aggregate("qa[voicebench]", tmp_path, {"scores": votes})
    assert (found["strict"]["gpt"], found["compat"]["gpt"]) == (strict, pytest.approx(compat))


@given(st.lists(st.sampled_from(["Yes", "no", "Yes.", "perhaps"]), min_size=1, max_size=5))
def test_the_chance_of_a_yes_does_not_depend_on_the_order_of_the_votes(votes: list[str]) -> None:
    assert original_majority(tuple(votes)) == original_majority(tuple(reversed(votes)))
    assert [is_yes(vote) for vote in ("Yes.", " **no** ", "yes no")] == [True, False, None]


def test_pedant_without_its_package_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "qa_metrics", None)
    sample = Sample(id="s", text="Paris", metadata={"prompt": "Capital of France?"})
    with pytest.raises(MissingExtra, match=r"\[pedant\]"):
        Pedant().score(ScoringItem(sample, Output(id="s", task="t", status="ok", seed=0, text="Paris"), "Paris"))


# ----------------------------------------------------------------------------------------- asking a judge


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(judges.CACHE_VARIABLE, str(tmp_path / "replies"))
    return tmp_path / "replies"


ASKED = {"prompt": "Why is the sky blue?", "response": "Because {prompt} scatters."}


def test_a_judge_is_asked_once_and_then_answers_from_the_store(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JudgeServer(" 4\n") as server:
        monkeypatch.setenv(judges.VARIABLE, server.spec)
        assert aggregate("judge[voicebench]", tmp_path, ASKED)["strict"]["score"] == 4.0
        body = server.bodies[0]
    assert (body["n"], body["temperature"], body["top_p"], body["model"]) == (3, 0.5, 0.95, "small-judge")
    assert "User: Why is the sky blue?\nAssistant: Because {prompt} scatters." in body["messages"][1]["content"]
    assert len(list(stored.glob("*.json"))) == len(server.bodies) == 1
    monkeypatch.setenv(judges.VARIABLE, "stored:small-judge")
    assert aggregate("judge[voicebench]", tmp_path, ASKED)["strict"]["score"] == 4.0
    assert Judge().scorer().startswith("small-judge, prompt ")


def test_a_server_of_one_choice_is_asked_for_the_other_votes(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JudgeServer("Yes", choices=1) as server:
        monkeypatch.setenv(judges.VARIABLE, server.spec)
        assert aggregate("qa[voicebench]", tmp_path, {**ASKED, "reference": "Light"})["strict"]["gpt"] == 100.0
        assert [body["n"] for body in server.bodies] == [3, 2, 1]


def test_a_prompt_of_ones_own_takes_the_place_of_ours(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "voicebench-open.txt").write_text("Rate: {response}")
    with JudgeServer("5") as server:
        monkeypatch.setenv(judges.VARIABLE, f"{server.spec},prompts={tmp_path}")
        aggregate("judge[voicebench]", tmp_path, ASKED)
        assert server.bodies[0]["messages"][1]["content"] == "Rate: Because {prompt} scatters."


def test_a_reply_that_is_not_stored_is_not_made_up(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(judges.VARIABLE, "stored:small-judge")
    with pytest.raises(NotFetched, match="small-judge"):
        aggregate("judge[voicebench]", tmp_path, ASKED)


def test_a_judge_without_text_is_an_error_and_nothing_is_stored(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JudgeServer(None) as server:
        monkeypatch.setenv(judges.VARIABLE, server.spec)
        with pytest.raises(EndpointError, match="without text"):
            aggregate("judge[voicebench]", tmp_path, ASKED)
    assert not list(stored.glob("*"))


def test_a_reply_that_the_server_cut_before_any_text_is_an_unreadable_vote(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JudgeServer(None, ended="length") as server:
        monkeypatch.setenv(judges.VARIABLE, server.spec)
        assert aggregate("judge[voicebench]", tmp_path, ASKED)["strict"] == {"score": 1.0, "unparsed": 100.0}


VOTER = """
from speech_eval import AudioLanguageModel, ChatReply, ModelInfo

class Voter(AudioLanguageModel):
    reads_audio = False

    def __init__(self, temperature: float = 0.0) -> None:
        self.temperature = temperature

    def info(self) -> ModelInfo:
        return ModelInfo(name="voter")

    def reply(self, requests):
        return [ChatReply(text="5" if request.seed == 0 and self.temperature == 0.5 else "3") for request in requests]
"""


def test_a_language_model_on_this_machine_judges_by_seeds_and_is_marked(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "voter.py").write_text(VOTER)
    with judges.using(f"{tmp_path / 'voter.py'}:Voter"):
        assert aggregate("judge[voicebench]", tmp_path, ASKED)["strict"]["score"] == pytest.approx(11 / 3)
        name = Judge().scorer()
    assert "voter.py:Voter" in name and name.endswith("not comparable")
    (kept,) = stored.glob("*.json")
    assert json.loads(kept.read_text())["replies"] == ["5", "3", "3"]
    assert judges.VARIABLE not in __import__("os").environ


def test_only_the_boards_judge_with_the_boards_prompts_is_comparable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"voicebench-open": "Rate {response}", "voicebench-qa": "Right? {response}", "voicebench-system": "Judge."}
    monkeypatch.setattr(replies, "_OFFICIAL", {name: judges.digest(text) for name, text in texts.items()})
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(f"\n{text}\n")
    for model, prompts, comparable in (
        ("gpt-4o-mini", f",prompts={tmp_path}", True),
        ("gpt-4o-mini-2024-07-18", f",prompts={tmp_path}", True),
        ("gpt-4o-mini", "", False),
        ("small-judge", f",prompts={tmp_path}", False),
    ):
        with judges.using(f"openai:http://127.0.0.1:1/v1#{model}{prompts}"):
            for metric in (Judge(), QA()):
                assert ("not comparable" not in metric.scorer()) == comparable


def test_without_scores_and_without_a_judge_there_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(judges.VARIABLE, raising=False)
    for metric in ("judge[voicebench]", "qa[voicebench]"):
        with pytest.raises(BadInput, match=r"no judge is set.*--judge"):
            aggregate(metric, tmp_path, ASKED)
    for spec in ("gpt-4o-mini", "openai:http://127.0.0.1:1/v1", "stored:", "whisper-base"):
        with pytest.raises(BadInput, match="is not a judge"):
            judges.Judge(spec, tmp_path)


# ----------------------------------------------------------------------------------------------- tasks


def manifest(folder: Path) -> str:
    rows = [
        {"id": f"q{n}", "text": letter, "prompt_text": f"Question {n}? A) one B) two C) three D) four"}
        for n, letter in enumerate("ABCDB")
    ]
    path = folder / "mmsu.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_choice_subset_runs_from_a_manifest(tmp_path: Path) -> None:
    settings = Settings(data=manifest(tmp_path), workers=1)
    results = runner.run(modelspec.parse("oracle"), ["voicebench-mmsu"], tmp_path / "run", settings)
    accuracy = results.tasks[0].metrics[0]
    assert (accuracy.metric, accuracy.primary, accuracy.strict.value) == ("choice[voicebench]", True, 100.0)


def test_failed_answers_are_wrong_in_strict_and_left_out_in_compat(tmp_path: Path) -> None:
    settings = Settings(data=manifest(tmp_path), workers=1)
    spec = modelspec.parse("failing,fail_rate=0.5")
    results = runner.run(spec, ["voicebench-openbookqa"], tmp_path / "run", settings)
    counts, accuracy = results.tasks[0].counts, results.tasks[0].metrics[0]
    assert 0 < counts.failed < counts.expected == 5
    assert accuracy.strict.value == 100.0 * counts.ok / 5 and accuracy.compat.value == 100.0


def test_a_judged_subset_keeps_the_replies_in_the_run(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JudgeServer("4") as server:
        monkeypatch.setenv(judges.VARIABLE, server.spec)
        settings = Settings(data=manifest(tmp_path), workers=1, limit=2)
        results = runner.run(modelspec.parse("oracle"), ["voicebench-wildvoice"], tmp_path / "run", settings)
    score = results.tasks[0].metrics[0]
    assert (score.strict.value, score.compat.value) == (4.0, 4.0) and score.scorer.startswith("small-judge")
    kept = RunDirectory(tmp_path / "run").scores("voicebench-wildvoice")
    assert all(found.detail["scores"] == ["4", "4", "4"] for found in kept.values())


def test_every_subset_of_the_overall_is_a_task() -> None:
    names = {name.removeprefix("voicebench-") for name in TASKS.names() if name.startswith("voicebench-")}
    assert names == {*SUBSETS, "alpacaeval"}
    assert QA.id == TASKS.get("voicebench-sd-qa")().metrics[0]
