"""Names and codes of languages: one tag each, or a refusal."""

from __future__ import annotations

import pytest

from speech_eval import datasets
from speech_eval.errors import BadInput
from speech_eval.text import language_name, language_tag, primary_language, separates_words
from speech_eval.text.detect import _WORDS, detect_language
from speech_eval.text.language import _NAMES


@pytest.mark.parametrize(
    ("given", "tag"),
    [
        *[("en", "en"), ("EN", "en"), ("eng", "en"), ("english", "en"), (" English ", "en"), ("en_us", "en-US")],
        *[("cmn", "zh"), ("zho", "zh"), ("chi", "zh"), ("Mandarin", "zh"), ("zh-tw", "zh-TW"), ("cmn-Hans", "zh-Hans")],
        *[("yue", "yue"), ("zh-yue", "yue"), ("cantonese", "yue"), ("ger", "de"), ("deu", "de"), ("iw", "he")],
        *[("arb", "ar"), ("pes", "fa"), ("farsi", "fa"), ("nb", "nb"), ("tl", "fil"), ("sr-latn-rs", "sr-Latn-RS")],
        *[("ceb", "ceb"), ("traditional chinese", "zh-Hant"), ("norwegian  bokmål", "nb")],
    ],
)
def test_a_language_has_one_tag_whatever_it_is_called(given: str, tag: str) -> None:
    assert language_tag(given) == language_tag(tag) == tag


@pytest.mark.parametrize(
    "given", ["klingon", "xx", "xyz", "en-", "english-us", "und", "mul", "qaa", "", "e", "12", "日本語"]
)
def test_what_names_no_language_is_refused(given: str) -> None:
    with pytest.raises(BadInput, match="is not a language"):
        language_tag(given)


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput) as refusal:
        language_tag("germann")
    assert "Did you mean de (german)?" in refusal.value.remedy


@pytest.mark.parametrize("tag", _NAMES)
def test_every_name_of_the_table_belongs_to_a_valid_tag(tag: str) -> None:
    assert language_tag(tag) == language_tag(_NAMES[tag]) == tag
    assert language_name(tag).endswith(f"({tag})")


@pytest.mark.parametrize("tag", ["zh", "zh-TW", "yue", "ja", "th", "lo", "my", "km"])
def test_some_languages_write_no_spaces_between_words(tag: str) -> None:
    assert not separates_words(tag)


@pytest.mark.parametrize("tag", ["en", "ko", "vi", "hi", "zh-Latn", "ja-latn-hepburn"])
def test_the_others_and_romanized_text_do(tag: str) -> None:
    assert separates_words(tag)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        *[
            ("オレンジを食べる", "ja"),
            ("今日は雨だ", "ja"),
            ("今天下雨", "zh"),
            ("佢哋喺邊度", "yue"),
            ("비가 온다", "ko"),
        ],
        *[("ฝนตก", "th"), ("ຝົນຕົກ", "lo"), ("မိုးရွာ", "my"), ("ភ្លៀង", "km"), ("גשם", "he"), ("βρέχει", "el")],
        *[("идёт дождь", "ru"), ("йде дощ її", "uk"), ("شوی په ښار کې", "ps"), ("می‌خواهم", "fa"), ("كتاب", "ar")],
        *[("ٹھیک ہے", "ur"), ("यह घर है", "hi"), ("हे घर आहे", "mr"), ("আমার ঘর", "bn"), ("মোৰ ঘৰ", "as"), ("மழை", "ta")],
        *[
            ("hello world", "en"),
            ("the rain is over", "en"),
            ("il gatto è sul tavolo", "it"),
            ("das ist nicht gut", "de"),
        ],
    ],
)
def test_script_letters_and_common_words_tell_a_language(text: str, tag: str) -> None:
    assert detect_language([text]) == tag


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        *[("Buongiorno a tutti, come state oggi?", "it"), ("Hola, buenos días a todos", "es")],
        *[("Bonjour à tous, comment allez-vous ?", "fr"), ("Guten Tag, wie geht es Ihnen?", "de")],
        *[("Hej, hur mår du idag", "sv"), ("hello there my friend", "en"), ("rates fell by one percent", "en")],
    ],
)
def test_one_sentence_without_a_stated_language_is_enough(text: str, tag: str) -> None:
    assert detect_language([text]) == tag


@pytest.mark.parametrize(
    "text",
    [
        *["Quanto costa questo libro?", "Quisiera reservar una mesa para dos personas", "Selamat pagi, apa kabar?"],
        *["Habari za asubuhi rafiki yangu", "De trein komt om acht uur aan", "Tren saat sekizde geliyor"],
    ],
)
def test_a_sentence_that_is_not_recognized_is_not_taken_for_english(text: str) -> None:
    assert detect_language([text]) != "en"


def test_no_common_word_of_english_is_one_of_another_language() -> None:
    english = set(_WORDS["en"].split())
    assert not {word for language, words in _WORDS.items() if language != "en" for word in english & set(words.split())}


@pytest.mark.parametrize("text", ["", "123", "नदी", "мир", "سلام", "amico mio vieni presto domenica sera", "Zażółć"])
def test_no_language_is_told_without_evidence(text: str) -> None:
    assert detect_language([text]) == "und"


@pytest.mark.parametrize(
    "name", ["asterisk-en", "asterisk-es", "asterisk-fr", "asterisk-it", "asterisk-ru", "sentences-en"]
)
def test_the_text_of_a_dataset_tells_its_language(name: str) -> None:
    found = datasets.load_dataset(name)
    assert [detect_language(sample.text or "" for sample in found.samples)] == found.info.languages
    assert {primary_language(sample.language) for sample in found.samples} == set(found.info.languages)
