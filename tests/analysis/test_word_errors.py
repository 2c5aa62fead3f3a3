"""Kinds of errors in answers, each on the texts that show it."""

from __future__ import annotations

import pytest

from speech_eval.analysis.word_errors import Compared, class_rates, loops, names, occurrences, patterns
from speech_eval.records import Sample
from speech_eval.text.numbers import says_number


def compared(reference: str, hypothesis: str, text: str = "", language: str = "en", key: str = "s") -> Compared:
    return Compared(Sample(id=key, text=text or reference, language=language), reference, hypothesis)


def found(reference: str, hypothesis: str, text: str = "", language: str = "en") -> list[tuple[str, str, str, str]]:
    return [error[1:] for error in occurrences(compared(reference, hypothesis, text, language))]


def test_words_are_confused_deleted_and_invented() -> None:
    assert found("the red house is old", "the bread house is very very old") == [
        ("confused", "red", "bread", "other words"),
        ("invented", "", "very very", "other words"),
    ]
    assert found("the red house is old today", "the red today") == [("deleted", "house is old", "", "other words")]
    assert found("今天很好", "今天真好", language="zh") == [("confused", "很", "真", "other words")]
    assert found("the same", "the same") == [] and found("the same", "") == []


def test_words_where_there_is_no_speech_and_answers_to_something_else() -> None:
    assert found("", "thank you for watching") == [("no speech", "", "thank you for watching", "other words")]
    assert found("", "") == []
    assert found("the garden is closed", "please call back later")[0][0] == "unrelated"
    assert found("no", "yes") == [("confused", "no", "yes", "other words")]


@pytest.mark.parametrize(
    ("answer", "reference", "phrases"),
    [
        ("so the the the the the end", "so the end", ["the ×5"]),
        ("I see. I see. I see.", "I see.", ["i see ×3"]),
        ("thank you very much thank you very much", "", ["thank you very much ×2"]),
        ("no no no no", "no", []),
        ("no no no no no no", "no no no no no no", []),
        ("哈哈哈哈哈哈", "好", ["哈 ×6"]),
        ("a b a b a b and c d c d c d", "", ["a b ×3", "c d ×3"]),
        ("", "", []),
    ],
)
def test_a_loop_says_again_what_came_just_before(answer: str, reference: str, phrases: list[str]) -> None:
    assert [error[3] for error in loops("s", answer, reference)] == phrases


def test_a_long_loop_takes_no_long_time() -> None:
    assert [error[3] for error in loops("s", "one two three " * 50_000)] == ["one two three ×1333"]


def test_numbers_are_digits_of_any_script_and_english_words() -> None:
    yes = ("7", "1990s", "$5", "forty", "Hundred", "third", "三", "٣")
    assert all(says_number(word) for word in yes) and not any(map(says_number, ("river", "one's", "oh", "and")))
    assert not says_number("six", "fr") and says_number("6", "fr")


def test_names_have_a_capital_within_a_sentence() -> None:
    def of(text: str, language: str = "en") -> set[str]:
        return names(Sample(id="s", text=text, language=language))

    assert of("Yesterday I met Alice in Berlin. The rest was Tom's.") == {
        *("alice", "alice's", "berlin", "berlin's", "tom", "tom's")
    }
    assert of("HE MET ALICE") == of("Der Mann sah das Haus", "de") == of("A Tale of Two Big Cities") == set()
    assert of("The bank. The old Bank was a bank") == set()


def test_numbers_and_names_are_counted_apart() -> None:
    text = "we met Peter in 1999 near Rome at noon"
    rates = {
        rate.name: (rate.errors, rate.words)
        for rate in class_rates([compared(text.lower(), "we met peter in 1989 near home at noon 7 times", text)])
    }
    assert rates == {"numbers": (2, 1), "names": (1, 2), "other words": (1, 6)}
    assert class_rates([]) == []


def test_errors_are_grouped_most_frequent_first() -> None:
    given = [("a", "red"), ("b", "red"), ("b", "red"), ("c", "blue")]
    grouped = patterns((key, "confused", word, "x", "other words") for key, word in given)["confused"]
    assert [(one.reference, one.count, one.ids) for one in grouped] == [("red", 3, ("b", "a")), ("blue", 1, ("c",))]
