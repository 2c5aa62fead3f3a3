"""The task `spoken-qa`: its questions, and what models get that know all, nothing, or only the words."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from spoken_qa import lines

from speech_eval import datasets
from speech_eval.adapters.base import ChatReply, ChatRequest
from speech_eval.adapters.spec import ModelSpec, ResolvedModel
from speech_eval.datasets import spoken
from speech_eval.engine import session
from speech_eval.engine.session import Settings
from speech_eval.metrics.spoken_qa import KINDS, SpokenQA, numbers_of, places, words
from speech_eval.records import MetricResult, Sample
from speech_eval.testing.fakes import Oracle

SAMPLES = datasets.load_dataset("spoken-qa").samples
MANNER = [sample for sample in SAMPLES if sample.metadata["set"] == "voice"]
VOICES = {"heart", "us", "kumo", "gongitsune", "nezumi", "m3"}


class Guessing(Oracle):
    """Draws one of the options of each question."""

    def _say(self, item: str, text: str, seed: int) -> str:
        options = list(self._references[item].metadata.get("options", {"?": []}))
        return str(np.random.default_rng(seed).choice(options))


class Reading(Oracle):
    """Answers by the words of the question alone, always alike: one of the words it was given."""

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        texts = [str(request.messages[0]["content"][0]["text"]) for request in requests]
        return [ChatReply(text=self._answer(text)) for text in texts]

    def _answer(self, text: str) -> str:
        (options,) = {tuple(s.metadata.get("options", ("?",))) for s in SAMPLES if s.prompt_text == text}
        return options[hashlib.sha256(text.encode()).digest()[0] % len(options)]


def numbers(model: type[Oracle], folder: Path, limit: int | None = None) -> dict[str, MetricResult]:
    given = ResolvedModel(ModelSpec(model.__name__, model.__name__), model)
    found = session.run(given, ["spoken-qa"], folder, Settings(workers=1, limit=limit, recognizer="oracle"))
    return {metric.name: metric for metric in found.tasks[0].metrics}


# ------------------------------------------------------------------------------------------- the questions


def test_the_list_is_what_the_questions_make() -> None:
    path = Path(datasets.load.catalog().datasets["spoken-qa"].manifest or "")
    assert path.read_text("utf-8").splitlines() == lines()


def test_there_are_enough_questions_with_ids_and_recordings_of_their_own() -> None:
    assert len(SAMPLES) >= 250
    for values in ([s.id for s in SAMPLES], [s.audio for s in SAMPLES]):
        assert len(set(values)) == len(values)
    assert len({s.cluster for s in SAMPLES}) == len({s.prompt_text for s in SAMPLES})


def test_every_kind_is_asked_by_every_voice() -> None:
    kinds: dict[str, set[str]] = defaultdict(set)
    for sample in SAMPLES:
        kinds[sample.metadata["kind"]].add(sample.speaker or "")
    assert set(kinds) == set(KINDS) and all(voices == VOICES for voices in kinds.values())


def test_every_set_is_asked_by_every_voice() -> None:
    sets: dict[str, set[str]] = defaultdict(set)
    for sample in SAMPLES:
        sets[sample.metadata["set"]].add(sample.speaker or "")
    assert len(sets) == 8 and all(voices == VOICES for voices in sets.values())


def test_recordings_say_the_questions() -> None:
    for sample in SAMPLES:
        parts = spoken.parts_of(sample)
        assert spoken.file_name(parts) == sample.audio, sample.id
        assert " ".join(part.text for part in parts) == sample.prompt_text, sample.id


def test_no_question_gives_its_answer_away() -> None:
    for sample in SAMPLES:
        if sample.metadata["kind"] == "number":
            assert numbers_of(sample.text or "") == [float(sample.text or "")], sample.id
            assert float(sample.text or "") not in numbers_of(sample.prompt_text or ""), sample.id
        if sample.metadata["kind"] == "short":
            said = words(sample.prompt_text or "")
            assert not [alias for alias in sample.metadata["aliases"] if places(said, alias)], sample.id


@pytest.mark.parametrize("name", ["knowledge", "reasoning", "yes-no", "safety"])
def test_right_answers_are_balanced(name: str) -> None:
    column = "kind" if name == "safety" else "text"
    counted = Counter(s.metadata["kind"] if column == "kind" else s.text for s in SAMPLES if s.metadata["set"] == name)
    assert len(set(counted.values())) == 1 and len(counted) in (2, 4)


def test_each_question_of_manner_is_asked_once_per_answer_in_the_same_words() -> None:
    asked: dict[str | None, list[Sample]] = defaultdict(list)
    for sample in MANNER:
        asked[sample.cluster].append(sample)
    assert {sample.metadata["topic"] for sample in MANNER} == {"sex", "count", "effort", "rate", "level", "order"}
    for variants in asked.values():
        assert len({sample.prompt_text for sample in variants}) == 1
        assert sorted(sample.text or "" for sample in variants) == sorted(variants[0].metadata["options"])


def test_ids_of_manner_do_not_tell_the_answer() -> None:
    assert not [s.id for s in MANNER if (s.text or "") in s.id.split("-")]


def test_the_voices_are_of_the_sex_that_the_key_says() -> None:
    male = {"us", "m3", "kumo"}
    for sample in MANNER:
        if sample.metadata["topic"] == "sex":
            assert (sample.speaker in male) == (sample.text == "man")


# ----------------------------------------------------------------------------------------------- the models


def test_the_oracle_answers_everything(tmp_path: Path) -> None:
    found = numbers(Oracle, tmp_path)
    assert {metric.strict.value for name, metric in found.items() if name.startswith("accuracy")} == {100.0}
    assert found["accuracy macro"].primary and found["accuracy macro"].strict.n == len(SAMPLES)
    assert len([name for name in found if name.startswith("accuracy ")]) == 1 + 8


def test_a_guess_is_right_as_often_as_chance_has_it(tmp_path: Path) -> None:
    found = numbers(Guessing, tmp_path)
    chances = {"knowledge": 25.0, "reasoning": 25.0, "yes-no": 50.0}
    chances["voice"] = 100 * float(np.mean([1 / len(sample.metadata["options"]) for sample in MANNER]))
    for name, chance in chances.items():
        estimate = found[f"accuracy {name}"].strict
        assert (estimate.low or 0.0) <= chance <= (estimate.high or 0.0), name
    assert found["accuracy arithmetic"].strict.value == found["accuracy short-answer"].strict.value == 0.0


def test_the_words_alone_answer_no_question_of_manner_above_chance(tmp_path: Path) -> None:
    found = numbers(Reading, tmp_path)
    groups = len({sample.cluster for sample in MANNER})
    assert found["accuracy voice"].strict.value == pytest.approx(100 * groups / len(MANNER))  # one right per question


def test_a_limited_run_has_a_number(tmp_path: Path) -> None:
    assert numbers(Oracle, tmp_path, limit=1)["accuracy"].strict.value == 100.0


def test_answers_to_every_sample_are_read_by_the_metric_without_other_columns() -> None:
    for sample in SAMPLES:
        assert SpokenQA.lacks(SpokenQA.visible(sample)) == ""


# ------------------------------------------------------------------------------------------- the recordings


@pytest.mark.slow
@pytest.mark.parametrize("topic", ["sex", "effort", "rate", "level"])
def test_what_is_asked_can_be_heard(topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pairs of hibari and eSpeak NG differ as their keys say."""
    pytest.importorskip("hibari")
    pytest.importorskip("espeakng_loader")
    from speech_eval.audio import load
    from speech_eval.metrics.codec.pitch import f0

    monkeypatch.setenv("SPEECH_EVAL_CACHE", str(tmp_path))
    first = [s for s in MANNER if s.cluster == f"voice-{topic}-01"]
    assert all("kokoro" not in part.voice for sample in first for part in spoken.parts_of(sample))
    spoken.ensure("spoken-qa", first)
    heard = {s.text: load(spoken.folder() / (s.audio or "")).samples for s in first}
    if topic == "sex":
        assert np.nanmedian(f0(heard["woman"])) > 1.3 * np.nanmedian(f0(heard["man"]))
    if topic == "rate":
        assert len(heard["slow"]) > len(heard["fast"]) + 16_000
    if topic == "effort":
        voiced = {key: np.mean(f0(samples) > 0) for key, samples in heard.items()}
        assert voiced["loud"] > 1.2 * voiced["whisper"]
    if topic == "level":
        power = {key: np.mean(samples[4000:16_000] ** 2) for key, samples in heard.items()}
        assert power["first"] > 20 * power["second"]
