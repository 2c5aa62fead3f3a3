"""What the text normalizers do, corner by corner."""

from __future__ import annotations

import hashlib
import string
import sys
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech_eval.errors import MissingExtra
from speech_eval.text import mainland_chinese, seed_tts_normalize, whisper_basic, whisper_english, whisper_normalize
from speech_eval.text.numbers import _NUMBER_WORDS, standardize_numbers
from speech_eval.text.seed_tts import HANZI_PUNCTUATION
from speech_eval.text.whisper import spelling_table

PIECES = [
    *sorted(_NUMBER_WORDS),
    *["1", "2.5", "$3", "0", "1.", "10th", "1960s", "1,000", "$2.07", "-5", "100%", "12:30", "1.2.3", "٣", "²"],
    *["and a half", "a", "dog", "don't", "won't", "mr.", "Dr", "colour", "archaeology", "(aside)", "[noise]", "uh"],
    *["mm", "naïve", "œuvre", "ß", "…", "%", "$", "£5", "¢7", "$0.07", "he 's", "I'd been", "x1y2", "\u00a0", "ﬁ"],
]


# ------------------------------------------------------------------------------------------ Whisper, English


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", "hello world"),
        ("[noise] hello (aside) <unk> there", "hello there"),
        ("Um, I uh think hmm so mhm", "i think so"),
        ("I won't, can't and don't.", "i will not can not and do not"),
        ("Let's go, y'all; she's been; he 's got it", "let us go you all she has been he has got it"),
        ("The dog's tail", "the dog is tail"),
        ("Mr. and Mrs. Smith, Dr. Who", "mister and missus smith doctor who"),
        ("wanna gonna gotta", "want to going to got to"),
        ("The colour of the theatre", "the color of the theater"),
        ("naïve Œuvre Straße", "naive oeuvre strasse"),
        ("1,000,000 people", "1000000 people"),
        ("the end. 3.14", "the end 3.14"),
        ("100% sure, % of it", "100% sure of it"),
        ("don’t", "don t"),
        ("archaeology", "archeology</span>"),
        ("", ""),
        ("?!", ""),
        ("wait...", "wait ."),
        ("...", "."),
    ],
)
def test_english_normalizer(text: str, expected: str) -> None:
    assert whisper_english(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("twenty one", "21"),
        ("one", "one"),
        ("the 1s", "the ones"),
        ("one oh one", "101"),
        ("twenty twenty", "2020"),
        ("nineteen ninety nine", "1999"),
        ("two hundred and five", "205"),
        ("two thousand three hundred", "2300"),
        ("one point five million", "1500000"),
        ("three and a half", "3.5"),
        ("a day and a half", "a day and a half"),
        ("double seven three", "773"),
        ("triple oh", "000"),
        ("twenty first", "21st"),
        ("the nineteen sixties", "the 1960s"),
        ("minus five", "-5"),
        ("twenty dollars and fifty cents", "$20.50"),
        ("ten thousand dollars", "$10000"),
        ("seven cents", "¢7"),
        ("fifty per cent of five percent", "50% of 5%"),
        ("per person", "per person"),
        ("point taken", "point taken"),
        ("two point dog", "2 point dog"),
        ("one twenty seven point zero point zero point one", "127.0.0.one"),
    ],
)
def test_spelled_out_numbers_become_digits(text: str, expected: str) -> None:
    assert standardize_numbers(text) == expected


def test_the_spelling_table_is_openais_file() -> None:
    data = files("speech_eval.text").joinpath("data/whisper_english_spelling.json").read_bytes()
    assert hashlib.sha256(data).hexdigest() == "6607f948be9824d2e1b2fa2223cd94c06c45afa4e05ea0e3d5e1f2bdffde2465"


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=9), st.sampled_from([" ", " ", " ", "-", "", ", "]))
def test_english_agrees_with_transformers_on_numbers_and_contractions(pieces: list[str], joint: str) -> None:
    original = pytest.importorskip("transformers.models.whisper.english_normalizer")
    text = joint.join(pieces)
    assert whisper_english(text) == original.EnglishTextNormalizer(spelling_table())(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_both_normalizers_agree_with_transformers_on_any_text(text: str) -> None:
    original = pytest.importorskip("transformers.models.whisper.english_normalizer")
    assert whisper_english(text) == original.EnglishTextNormalizer(spelling_table())(text)
    assert whisper_basic(text) == original.BasicTextNormalizer()(text)


# ------------------------------------------------------------------------------------- Whisper, other languages


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Où êtes-vous ? (rires)", "où êtes vous "),
        ("¿Qué? ¡No!", " qué no "),
        ("Ｈｅｌｌｏ　１２３", "hello 123"),
        ("Привет, мир!", "привет мир "),
        ("twenty one", "twenty one"),
    ],
)
def test_basic_normalizer_keeps_diacritics_and_words(text: str, expected: str) -> None:
    assert whisper_basic(text) == expected


@pytest.mark.parametrize("language", ["en", "EN", "en-US", "en_GB"])
def test_every_kind_of_english_gets_the_english_rules(language: str) -> None:
    assert whisper_normalize("colour", language) == "color"


@pytest.mark.parametrize("language", ["fr", "zh", "eng-like", ""])
def test_everything_else_gets_the_basic_rules(language: str) -> None:
    assert whisper_normalize("colour", language) == "colour"


# ------------------------------------------------------------------------------------------------- Seed-TTS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't STOP", "don't stop"),
        ("don’t", "dont"),
        ("twenty-one", "twentyone"),
        ("Fifty and 50", "fifty and 50"),
        ("a   b", "a  b"),
        ("a  b", "a b"),
        ("€5 £6 «x» ¡y! ¿z? 😀", "€5 £6 «x» ¡y ¿z 😀"),
        ("Ａ１", "ａ１"),
        ("no\u00a0break", "no\u00a0break"),
        ("end\u3000of", "endof"),
        ("(a) [b] {c} <d>", "a b c d"),
    ],
)
def test_seed_tts_english(text: str, expected: str) -> None:
    assert seed_tts_normalize(text, "en") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好，世界。", "你 好 世 界"),
        ("A b", "A   b"),
        ("“引号”《书》", "引 号 书"),
        ("it's 好", "i t ' s   好"),
    ],
)
def test_seed_tts_chinese_is_spread_out_and_keeps_case(text: str, expected: str) -> None:
    assert seed_tts_normalize(text, "zh") == expected


def test_seed_tts_knows_chinese_by_region_too() -> None:
    assert seed_tts_normalize("你好", "zh-CN") == "你 好"


def test_seed_tts_punctuation_is_that_of_zhon() -> None:
    hanzi = pytest.importorskip("zhon.hanzi")
    assert set(HANZI_PUNCTUATION) == set(hanzi.punctuation)


@given(st.text(alphabet=string.punctuation + HANZI_PUNCTUATION))
def test_of_all_punctuation_only_the_apostrophe_survives(text: str) -> None:
    assert set(seed_tts_normalize(text, "en")) <= {"'"}


def test_traditional_characters_and_taiwan_phrases_become_mainland_ones() -> None:
    pytest.importorskip("zhconv")
    assert mainland_chinese("計程車和軟體") == "计程车和软件"


def test_chinese_without_its_package_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zhconv", None)
    with pytest.raises(MissingExtra, match=r"\[zh\]"):
        mainland_chinese("你好")
