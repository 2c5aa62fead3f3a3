"""Error rates: what counts as an error, over what, and what a failure costs."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem, Unscorable
from speech_eval.metrics.catalog import FORMER, METRICS, present_name
from speech_eval.metrics.wer import SeedTTSWER, UnicodeCER, UnicodeWER, WhisperCER, WhisperWER
from speech_eval.records import Output, Sample
from speech_eval.statistics.bootstrap import estimate

RATES = [WhisperWER(), WhisperCER(), UnicodeWER(), UnicodeCER(), SeedTTSWER()]
TEXTS = st.text(alphabet="abcdeéß xyz019.,'-€", max_size=40)


def item(reference: str | None, hypothesis: str | None, language: str = "en", status: Any = "ok") -> ScoringItem:
    sample = Sample(id="s", text=reference, language=language)
    output = Output(id="s", task="t", status=status, seed=0, text=hypothesis)
    return ScoringItem(sample, output, hypothesis)


def parts(metric: Metric, reference: str, hypothesis: str, language: str = "en") -> dict[str, float]:
    return metric.score(item(reference, hypothesis, language)).parts


def value(metric: Metric, name: str, rows: list[dict[str, float]]) -> float | None:
    summary = next(summary for summary in metric.summaries if summary.name == name)
    return estimate(summary, rows, seed="test").value


# --------------------------------------------------------------------------------------------------- Whisper


def test_word_errors_are_counted_after_normalization() -> None:
    score = WhisperWER().score(item("The colour of Mr. Fox's coat.", "the color of mister fox coat today"))
    assert score.parts == {
        "errors": 2.0,
        "substitutions": 2.0,
        "deletions": 0.0,
        "insertions": 0.0,
        "reference_words": 7.0,
        "utterance_rate": 2 / 7,
    }
    assert score.detail == {
        "reference": "the color of mister fox is coat",
        "hypothesis": "the color of mister fox coat today",
    }


def test_the_corpus_rate_weighs_utterances_by_length_and_the_mean_does_not() -> None:
    metric = WhisperWER()
    rows = [parts(metric, "a", "b"), parts(metric, "a b c d e f g h i", "a b c d e f g h i")]
    assert value(metric, "wer", rows) == pytest.approx(10.0)
    assert value(metric, "utterance-wer", rows) == pytest.approx(50.0)


def test_spoken_and_written_numbers_are_the_same_in_english() -> None:
    assert parts(WhisperWER(), "It costs twenty-one dollars", "it costs $21")["errors"] == 0


def test_other_languages_are_not_put_through_english_rules() -> None:
    assert parts(WhisperWER(), "le cent", "le 100", language="fr")["substitutions"] == 1
    assert parts(WhisperWER(), "C'est l'été !", "c est l été", language="fr")["errors"] == 0


def test_characters_are_counted_with_the_spaces_between_words() -> None:
    score = parts(WhisperCER(), "ab cd", "abcd")
    assert (score["errors"], score["deletions"], score["reference_characters"]) == (1, 1, 5)


def test_an_empty_transcript_is_all_deletions() -> None:
    for metric in RATES:
        assert metric.score(item("one two three", "")).parts == metric.failure(Sample(id="s", text="one two three"))


def test_an_answer_with_status_empty_has_an_empty_transcript() -> None:
    assert WhisperWER().score(item("one two three", None, status="empty")).parts["deletions"] == 1


def test_an_answer_without_transcript_has_no_value() -> None:
    with pytest.raises(Unscorable):
        WhisperWER().score(item("one two", None))


def test_words_against_an_empty_reference_are_insertions_over_nothing() -> None:
    score = parts(WhisperWER(), "(silence)", "thank you for watching")
    assert (score["errors"], score["insertions"], score["reference_words"]) == (4, 4, 0)
    assert value(WhisperWER(), "wer", [score, parts(WhisperWER(), "a b", "a b")]) == pytest.approx(200.0)


def test_failing_on_an_empty_reference_is_an_error_and_silence_is_right() -> None:
    assert WhisperWER().failure(Sample(id="s", text="(silence)"))["errors"] == 1
    assert parts(WhisperWER(), "(silence)", "")["errors"] == 0


@pytest.mark.parametrize("metric", RATES, ids=lambda metric: metric.id)
def test_a_sample_without_text_is_a_defect_of_the_dataset(metric: Metric) -> None:
    with pytest.raises(BadInput):
        metric.score(item(None, "hello"))
    with pytest.raises(BadInput):
        metric.failure(Sample(id="s"))


@pytest.mark.parametrize("char", ["\ufeff", "\u200b", "\u00ad", "\u200f"])
def test_characters_that_nobody_sees_count_only_as_the_original_counts_them(char: str) -> None:
    score = WhisperWER().score(item("hello world", f"{char}hel{char}lo world"))
    assert score.parts["errors"] == 0
    assert score.compat is not None and score.compat["errors"] >= 1


def test_whisper_says_where_it_misreads_the_script_or_a_number() -> None:
    def caution(text: str, language: str) -> str:
        return WhisperWER.caution(Sample(id="s", text=text, language=language))

    assert "Hindi (hi)" in caution("नदी", "hi") and "Chinese (zh)" in caution("你好", "zh")
    assert "$1" in caution("it costs one dollar", "en") and "$1" in caution("version three point one", "en")
    assert caution("one of them, twenty one dollars", "en") == caution("l'été", "fr") == ""


@pytest.mark.parametrize(("former", "present"), FORMER.items())
def test_a_former_id_reads_stored_runs_and_means_the_present_metric(former: str, present: str) -> None:
    assert (METRICS.get(former).id, present_name(former)) == (former, present)
    assert issubclass(METRICS.get(former), METRICS.get(present))
    assert former not in METRICS.names() and present in METRICS.names()


# -------------------------------------------------------------------------------------------------- Seed-TTS


@pytest.mark.parametrize(
    ("reference", "hypothesis", "wer"),
    [
        ("It's fifty.", "It's 50.", 1 / 2),
        ("I don't know", "I don’t know", 1 / 3),
        ("twenty-one", "twenty one", 2.0),
        ("Hello, WORLD", "hello world", 0.0),
        ("the colour", "the color", 1 / 2),
        ("a\u00a0b c", "a b c", 1.0),
        ("a \u00a0b", "a b", 0.0),
        ("a b", "", 1.0),
    ],
)
def test_seed_tts_word_error_rate(reference: str, hypothesis: str, wer: float) -> None:
    assert parts(SeedTTSWER(), reference, hypothesis)["wer"] == pytest.approx(wer)


def test_seed_tts_divides_the_edit_rates_by_its_own_word_count() -> None:
    score = parts(SeedTTSWER(), "a   b c", "a b d")
    assert score["wer"] == pytest.approx(1 / 3)
    assert score["substitution_rate"] == pytest.approx(1 / 4)


def test_seed_tts_chinese_is_a_character_error_rate() -> None:
    pytest.importorskip("zhconv")
    assert parts(SeedTTSWER(), "今天天气好。", "今天天气很好", "zh")["wer"] == pytest.approx(1 / 5)


def test_seed_tts_converts_the_hypothesis_to_mainland_characters_but_not_the_reference() -> None:
    pytest.importorskip("zhconv")
    assert parts(SeedTTSWER(), "软件", "軟體", "zh")["wer"] == 0
    assert parts(SeedTTSWER(), "軟體", "軟體", "zh")["wer"] == 1


def test_seed_tts_has_no_value_for_a_reference_of_punctuation() -> None:
    with pytest.raises(Unscorable):
        parts(SeedTTSWER(), "...", "hello")
    assert SeedTTSWER().failure(Sample(id="s", text="..."))["wer"] == 1


def test_seed_tts_reports_the_mean_over_utterances_first_and_the_corpus_rate_second() -> None:
    metric = SeedTTSWER()
    rows = [parts(metric, "a", "b"), parts(metric, "a b c", "a b c")]
    assert [summary.name for summary in metric.summaries][:2] == ["wer", "corpus-wer"]
    assert value(metric, "wer", rows) == pytest.approx(50.0)
    assert value(metric, "corpus-wer", rows) == pytest.approx(25.0)


# ------------------------------------------------------------------------------------------------ properties


@settings(max_examples=60, deadline=None)
@given(TEXTS)
@pytest.mark.parametrize("metric", RATES, ids=lambda metric: metric.id)
def test_a_perfect_transcript_has_no_errors(metric: Metric, text: str) -> None:
    try:
        assert parts(metric, text, text)["errors"] == 0
    except Unscorable:
        assume(False)


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS)
@pytest.mark.parametrize("metric", RATES, ids=lambda metric: metric.id)
def test_the_edits_add_up_to_the_errors(metric: Metric, reference: str, hypothesis: str) -> None:
    try:
        score = parts(metric, reference, hypothesis)
    except Unscorable:
        return
    if "substitutions" in score:
        assert score["errors"] == score["substitutions"] + score["deletions"] + score["insertions"]
    assert score["errors"] >= 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8), st.randoms())
def test_the_order_of_the_samples_does_not_matter(pairs: list[tuple[str, str]], shuffler: random.Random) -> None:
    metric = WhisperWER()
    rows = [parts(metric, *pair) for pair in pairs]
    before = [value(metric, summary.name, rows) for summary in metric.summaries]
    shuffler.shuffle(rows)
    assert [value(metric, summary.name, rows) for summary in metric.summaries] == pytest.approx(before, nan_ok=True)
