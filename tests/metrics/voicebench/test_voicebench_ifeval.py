"""IFEval's 25 checks as VoiceBench has them. Every verdict here is the original's, found by running it at 5338154."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech_eval.engine import session as runner
from speech_eval.engine.session import Settings
from speech_eval.errors import BadInput, MissingExtra
from speech_eval.metrics.base import ScoringItem, Value
from speech_eval.metrics.voicebench import instructions
from speech_eval.metrics.voicebench.ifeval import IFEval, loose_variants
from speech_eval.metrics.voicebench.instructions import CHECKS, drawn, follows, sentences, words
from speech_eval.records import Output, Sample
from speech_eval.statistics.bootstrap import estimate

LETTERS = {"let_frequency": 3, "let_relation": "at least"}

FOLLOWED: list[tuple[str, dict[str, Any], str, str]] = [  # kind, arguments, an answer that follows, one that does not
    ("keywords:existence", {"keywords": ["cat", "dog"]}, "Dogs and CATS", "cats only"),
    ("keywords:frequency", {"keyword": "cat", "frequency": 2, "relation": "at least"}, "cat, concat", "a cat"),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "concatenate", "A Cat."),
    ("keywords:letter_frequency", {"letter": "e", **LETTERS}, "Eleven eels", "one"),
    ("language:response_language", {"language": "de"}, "Das ist ein ganz gewöhnlicher Satz.", "This is a sentence."),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "less than"},
        "Mr. Smith slept.",
        "One. Two.",
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one\n***\ntwo\n***", "one\n\ntwo"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "it's me", "only two"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Well"},
        'So.\n\n"well, yes.',
        "So.\n\nyes well",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] of [place]", "[name]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\np. s. one more", "Bye. PS one more"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* one\n- two", "* one\n** two"),
    ("detectable_format:constrained_response", {}, "Well. My answer is maybe.", "Maybe."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*one* and *two*", "*one* and * *"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Part", "num_sections": 2},
        "Part 1 a Part 2",
        "Part 1",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<A title>> text", "<< >> text"),
    ("combination:two_responses", {}, "one ****** two", "one ****** one"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi"}, " say HI: hi", "Hi. Say hi"),
    ("startend:end_checker", {"end_phrase": "The end."}, 'And so. "the END."', "The end. Really."),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        "A BIG dog",
        "a BIG dog",
    ),
    ("change_case:english_capital", {}, "THIS IS A PLAIN ENGLISH SENTENCE", "This is a plain English sentence"),
    ("change_case:english_lowercase", {}, "this is a plain english sentence", "This is a plain English sentence"),
    ("punctuation:no_comma", {}, "None here", "One, here"),
    ("startend:quotation", {}, ' "quoted" ', '"'),
]


def item(answer: str, *kinds: tuple[str, dict[str, Any]]) -> ScoringItem:
    fields = {"instruction_id_list": [kind for kind, _ in kinds], "kwargs": [given for _, given in kinds]}
    output = Output(id="s", task="t", status="ok" if answer.strip() else "empty", seed=0, text=answer)
    return ScoringItem(Sample(id="s", metadata=fields), output, answer)


def score(answer: str, *kinds: tuple[str, dict[str, Any]]) -> Value:
    return IFEval().score(item(answer, *kinds))


def test_there_is_an_example_of_every_kind() -> None:
    assert {kind for kind, *_ in FOLLOWED} == set(CHECKS) and len(CHECKS) == 25


@pytest.mark.parametrize(("kind", "given", "good", "bad"), FOLLOWED, ids=[kind for kind, *_ in FOLLOWED])
def test_an_instruction_is_followed_or_not(kind: str, given: dict[str, Any], good: str, bad: str) -> None:
    assert follows(kind, good, given) and not follows(kind, bad, given)


@pytest.mark.parametrize(("kind", "given"), [(kind, given) for kind, given, *_ in FOLLOWED])
def test_an_empty_answer_follows_nothing(kind: str, given: dict[str, Any]) -> None:
    assert not follows(kind, " \n", given, undetected=True)


def test_sentences_and_words_are_nltks() -> None:
    assert sentences("Dr. Smith came from the U.S. yesterday. He slept!!! !") == [
        "Dr. Smith came from the U.S. yesterday.",
        "He slept!!!",
        "!",
    ]
    assert words('She said "no", isn\'t it?') == ["She", "said", "``", "no", "''", ",", "is", "n't", "it", "?"]


def test_the_loose_variants_drop_first_and_last_line_and_asterisks() -> None:
    assert loose_variants("Sure:\n**yes**\nBye") == [
        "Sure:\n**yes**\nBye",
        "Sure:\nyes\nBye",
        "**yes**\nBye",
        "yes\nBye",
        "Sure:\n**yes**",
        "Sure:\nyes",
        "**yes**",
        "yes",
    ]


def test_the_four_accuracies_and_their_mean() -> None:
    comma, quote = ("punctuation:no_comma", {}), ("startend:quotation", {})
    values = [score("Well, sure:\n“fine”", comma, quote), score('"fine"', quote), score("a, b", comma)]
    found = {s.name: estimate(s, [v.parts for v in values], seed="x").value for s in IFEval.summaries}
    assert found == pytest.approx(
        {
            "strict-prompt": 100 / 3,
            "strict-instruction": 25.0,
            "loose-prompt": 100 / 3,
            "loose-instruction": 50.0,
            "final": (100 / 3 + 25 + 100 / 3 + 50) / 4,
        },
        abs=1e-5,
    )


def test_turn_marks_are_no_part_of_the_answer() -> None:
    assert score('<1> "fine"<|user|>', ("startend:quotation", {})).parts["prompt_strict"] == 1.0


def test_a_missing_answer_follows_none_of_its_instructions() -> None:
    sample = item("", ("punctuation:no_comma", {}), ("startend:quotation", {})).sample
    assert IFEval().failure(sample) == {
        "instructions": 2.0,
        "prompt_strict": 0.0,
        "followed_strict": 0.0,
        "prompt_loose": 0.0,
        "followed_loose": 0.0,
    }
    assert score("", ("punctuation:no_comma", {})).parts["followed_loose"] == 0.0


@pytest.mark.parametrize(
    ("kind", "given", "answer", "strict", "compat"),
    [
        ("keywords:letter_frequency", {"letter": "#", **LETTERS}, "aaa bbb # #", 0.0, 2 / 26),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 0}, "a *** b", 0.0, 1 / 5),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 0, "first_word": "a"},
            "a x\n\na y",
            1.0,
            2 / 3,
        ),
        (
            "change_case:capital_word_frequency",
            {"capital_frequency": 0, "capital_relation": "less than"},
            "A B C d",
            0.0,
            17 / 20,
        ),
        ("language:response_language", {"language": "en"}, "123", 0.0, 1.0),
    ],
)
def test_what_the_original_draws_counts_with_its_expectation_in_compat(
    kind: str, given: dict[str, Any], answer: str, strict: float, compat: float
) -> None:
    value = score(answer, (kind, given))
    assert value.compat is not None
    assert (value.parts["prompt_strict"], value.compat["prompt_strict"]) == (strict, pytest.approx(compat))


@given(st.sampled_from(FOLLOWED), st.integers(-2, 6))
def test_the_chances_of_a_draw_add_up_to_one(example: tuple[str, dict[str, Any], str, str], number: int) -> None:
    kind, arguments = example[0], {n: number if isinstance(v, int) else v for n, v in example[1].items()}
    assert sum(chance for chance, _ in drawn(kind, arguments)) == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=80), st.lists(st.sampled_from(FOLLOWED), min_size=1, max_size=3))
def test_loose_is_never_below_strict(answer: str, chosen: list[tuple[str, dict[str, Any], str, str]]) -> None:
    value = score(answer, *((kind, given) for kind, given, *_ in chosen))
    for parts in (value.parts, value.compat or {}):
        assert parts["followed_strict"] <= parts["followed_loose"] <= parts["instructions"]
        assert parts["prompt_strict"] <= parts["prompt_loose"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "instruction_id_list"),
        ({"instruction_id_list": ["punctuation:no_comma"], "kwargs": []}, "lists of one length"),
        ({"instruction_id_list": ["no:such"], "kwargs": [{}]}, "there is no instruction 'no:such'"),
        ({"instruction_id_list": ["startend:end_checker"], "kwargs": [{"end_phrase": ""}]}, "'end_phrase'"),
        (
            {"instruction_id_list": ["length_constraints:number_words"], "kwargs": [{"num_words": 3, "relation": "x"}]},
            "'x' is not a relation",
        ),
    ],
)
def test_a_record_that_cannot_be_checked_is_refused(fields: dict[str, Any], message: str) -> None:
    output = Output(id="s", task="t", status="ok", seed=0, text="x")
    with pytest.raises(BadInput, match=message):
        IFEval().score(ScoringItem(Sample(id="s", metadata=fields), output, "x"))


@pytest.mark.parametrize("package", ["langdetect", "punkt", "nltk"])
def test_a_missing_package_names_the_extra_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_langdetect", "_sentence_tokenizer", "_word_tokenizer"):
        getattr(instructions, name).cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    kind = "language:response_language" if package == "langdetect" else "change_case:capital_word_frequency"
    given = next(arguments for name, arguments, *_ in FOLLOWED if name == kind)
    with pytest.raises(MissingExtra, match=r"\[voicebench\]"):
        score("A BIG dog", (kind, given))


@pytest.mark.parametrize("module", ["langdetect", "nltk", "punkt"])
def test_what_is_not_installed_is_said_before_a_model_is_asked(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data.jsonl"
    metadata = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    data.write_text(json.dumps({"id": "a", "prompt_text": "Say it without a comma.", "metadata": metadata}) + "\n")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"speech-eval-harness\[voicebench\]"):
        runner.run("oracle", ["voicebench-ifeval"], tmp_path / "run", Settings(data=str(data)))
    assert not (tmp_path / "run").exists()
