"""Which option an answer chooses, and the numbers of the benchmarks that ask such questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_eval.metrics.base import BadData
from speech_eval.metrics.choices.options import LETTERS, chosen, key_of, options_of
from speech_eval.metrics.records_file import evaluate
from speech_eval.records import Sample

ANIMALS = ["a bird", "a dog", "a cat", "birds and a dog"]
EMOTIONS = ["neutral", "joy", "anger", "not happy"]


@pytest.mark.parametrize(
    ("answer", "options", "letter"),
    [
        ("a dog", ANIMALS, "B"),
        ("A DOG.", ANIMALS, "B"),
        ("(B) a dog", ANIMALS, "B"),
        ("B", ANIMALS, "B"),
        ("b.", ANIMALS, "B"),
        ("**C**", ANIMALS, "C"),
        ("[D]", ANIMALS, "D"),
        ("Answer: C", ANIMALS, "C"),
        ("The answer is (C).", ANIMALS, "C"),
        ("The correct option is D", ANIMALS, "D"),
        ("I hear a cat in the garden", ANIMALS, "C"),
        ("birds and a dog", ANIMALS, "D"),
        ("It is birds and a dog that I hear", ANIMALS, "D"),
        ("a dog or a cat", ANIMALS, None),
        ("Because it barks", ANIMALS, None),
        ("As an AI I cannot hear", ANIMALS, None),
        ("A sound of rain", ANIMALS, None),
        ("E", ANIMALS, None),
        ("", ANIMALS, None),
        ("The answer is B, not C", ANIMALS, "B"),
        ("happy", EMOTIONS, "B"),
        ("The speaker sounds angry.", EMOTIONS, "C"),
        ("They are not happy", EMOTIONS, "D"),
        ("(E) five", ["(A) one", "(B) two", "(C) three", "(D) four", "(E) five"], "E"),
        ("three", ["(A) one", "(B) two", "(C) three"], "C"),
        ("犬", ["犬", "猫"], "A"),
    ],
)
def test_an_answer_is_read_by_its_text_or_its_letter(answer: str, options: list[str], letter: str | None) -> None:
    found = chosen(answer, options)
    assert (None if found is None else LETTERS[found]) == letter


@given(
    st.integers(0, 3), st.sampled_from(["{t}", "{l}", "({l}) {t}", "{l}.", "The answer is {l}.", "The answer is {t}."])
)
def test_every_option_can_be_chosen_in_every_form(at: int, form: str) -> None:
    assert chosen(form.format(t=ANIMALS[at], l=LETTERS[at]), ANIMALS) == at


def test_options_come_as_a_list_as_a_text_or_as_columns() -> None:
    as_list = Sample(id="a", metadata={"choices": ["x", "y"]})
    as_text = Sample(id="b", metadata={"choices": "(A) the x\n(B) the y (C) z"})
    as_columns = Sample(id="c", metadata={"choice_a": "x", "choice_b": "y", "choice_c": None})
    assert options_of(as_list) == options_of(as_columns) == ["x", "y"]
    assert options_of(as_text) == ["(A) the x", "(B) the y", "(C) z"]
    with pytest.raises(BadData, match="choices"):
        options_of(Sample(id="d", metadata={"choices": ["alone"]}))


def test_the_key_is_a_text_or_a_letter() -> None:
    for text, key in (("a cat", 2), ("C", 2), ("(C) a cat", 2), ("(c)", 2)):
        assert key_of(Sample(id="a", text=text), ANIMALS) == key
    with pytest.raises(BadData, match="is not one of its options"):
        key_of(Sample(id="a", text="a cow"), ANIMALS)


def scored(metric: str, folder: Path, *records: dict[str, Any]) -> dict[str, Any]:
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps({"id": str(n), **record}) + "\n" for n, record in enumerate(records)))
    found: dict[str, Any] = evaluate(metric, path)
    return found["aggregate"]


def test_air_bench_averages_tasks_and_then_domains_and_leaves_unread_answers_out_of_compat(tmp_path: Path) -> None:
    about = {"choice_a": "dog", "choice_b": "cat", "answer_gt": "dog"}
    rows = [
        {**about, "task_name": "Sound_AQA", "response": "A"},
        {**about, "task_name": "Sound_AQA", "response": "cat"},  # not read by the original
        {**about, "task_name": "Sound_AQA", "response": "B"},
        {**about, "task_name": "Acoustic_Scene_Classification", "response": "A"},
        {**about, "task_name": "Music_AQA", "response": "B"},
        {**about, "task_name": "Speech_Grounding", "response": None},
    ]
    found = scored("choice[air-bench@9832476]", tmp_path, *rows)
    assert found["strict"]["accuracy"] == pytest.approx(100 * 2 / 6)
    assert found["compat"]["accuracy"] == pytest.approx(100 * 2 / 4)
    assert found["strict"]["average"] == pytest.approx(100 * ((1 / 3 + 1) / 2 + 0 + 0) / 3)
    assert found["compat"]["average"] == pytest.approx(100 * ((1 / 2 + 1) / 2 + 0) / 2)  # no speech is counted there


def test_mmau_tells_sound_music_and_speech_apart(tmp_path: Path) -> None:
    about = {"choices": ["dog", "cat"], "answer": "dog"}
    found = scored(
        "choice[mmau@110127f]",
        tmp_path,
        {**about, "task": "sound", "model_output": "dog"},
        {**about, "task": "speech", "model_output": "(A)"},
    )
    assert (found["strict"]["accuracy"], found["compat"]["accuracy"]) == (100.0, 50.0)
    assert (found["compat"]["accuracy sound"], found["compat"]["accuracy speech"]) == (100.0, 0.0)
    assert found["strict"]["accuracy music"] is None
