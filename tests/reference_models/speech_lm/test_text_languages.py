"""Each text in its own language: what the model reads, what is recognized, how errors and durations are measured."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("espeakng_loader")
from support.tts_fixture import config

from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm import frontend, script
from speech_eval.reference_models.speech_lm.recognition import Heard, Recognizer, error_rate
from speech_eval.reference_models.speech_lm.rl import rewards
from speech_eval.reference_models.speech_lm.tokenizer import StreamTokenizer

TEXTS = {
    "en": ("The cat sat.", "ðə kˈæt sˈæt."),
    "fr": ("Bonjour.", "bɔ̃ʒˈuʁ."),
    "ru": ("Здравствуйте.", "zdrˈɑstvujtʲi."),
    "de": ("Guten Morgen.", "ɡˈuːtən mˈɔɾɡən."),
    "zh": ("你好", "ni2χˈɑu2"),
}


def test_every_text_is_read_in_its_language() -> None:
    voices = [frontend.voice_of(language, "en-us") for language in TEXTS]
    found = frontend.readings([text for text, _ in TEXTS.values()], "phonemes", voices)
    assert [reading.said for reading in found] == [said for _, said in TEXTS.values()]
    assert not any(reading.problem for reading in found)


@pytest.mark.parametrize(
    ("language", "voice"),
    [("en", "en-us"), ("und", "en-us"), ("", "en-us"), ("en-GB", "en-gb"), ("fr", "fr"), ("pt-BR", "pt-br")],
)
def test_the_recipe_s_language_stands_for_its_own_without_a_region(language: str, voice: str) -> None:
    assert frontend.voice_of(language, "en-us") == voice


def test_a_variety_without_a_voice_is_read_as_its_language() -> None:
    (reading,) = frontend.readings(["你好"], "phonemes", ["zh-hant"])
    assert reading.said == TEXTS["zh"][1] and reading.voice == "zh"


@pytest.mark.parametrize(
    ("text", "language", "problem"),
    [
        ("你好，世界", "en", "'你好世界' is not written in the script of its language, English"),
        ("Здравствуйте", "de", "is not written in the script"),
        ("Привет and hello", "en", "is not written in the script"),
        ("Hello", "tlh", "eSpeak NG has no voice or language"),
        ("مرحبا", "ar", "ħ: not among the known phonemes"),
    ],
)
def test_what_a_language_cannot_read_is_named_before_anything_is_encoded(
    text: str, language: str, problem: str
) -> None:
    (reading,) = frontend.readings([text], "phonemes", [language])
    assert problem in reading.problem


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wow 😀!", "en"),
        ("Call 555-0199 at 3:45 p.m., it costs $1,299.50!", "en"),
        ("the angle α", "en"),
        ("ﬁne ＡＢ 10 µm, 1º", "en"),
        ("我用 iPhone", "zh"),
        ("東京タワーへ行く", "ja"),
        ("한국어 漢字", "ko"),
        ("Ћирилица", "sr"),
        ("Latinica", "sr"),
        ("anything у", "und"),
    ],
)
def test_letters_that_belong_to_a_language_are_no_problem(text: str, language: str) -> None:
    assert script.foreign(text, language) == ""


def tokenizer(*learned: str) -> StreamTokenizer:
    return StreamTokenizer(config("flat", frontend="phonemes", languages=learned), 256)


def test_a_model_reads_the_languages_it_has_learned_and_no_other() -> None:
    several = tokenizer("fr", "en-us")
    assert several.spoken(["Bonjour."], "fr-CA") == [TEXTS["fr"][1]]
    assert several.spoken(["The cat sat."], "en-GB") == [TEXTS["en"][1]]
    with pytest.raises(BadInput, match=r"in German \(de\); the model has learned to read French \(fr\), English"):
        several.prompt_ids("Guten Morgen.", language="de")
    before = tokenizer()  # trained before the languages were recorded
    assert before.spoken(["The cat sat."], "en") == before.spoken(["The cat sat."]) == [TEXTS["en"][1]]
    with pytest.raises(BadInput, match="is not written in the script"):
        before.prompt_ids("你好", language="en")


def test_a_text_that_could_not_be_spoken_in_the_room_that_is_left_is_refused() -> None:
    reader = StreamTokenizer(config("flat"), 256)  # 25 positions a second
    with pytest.raises(BadInput, match=r"take 23\d of 256 positions: no room to speak, 0\.\d\d s for 230 characters"):
        reader.prompt_ids("a" * 230)
    assert len(reader.prompt_ids("a" * 100)) == 103


def test_errors_are_counted_in_letters_where_words_have_no_spaces() -> None:
    assert error_rate([Heard("你好世界", "你好时界", "zh")]) == pytest.approx(0.25)
    assert error_rate([Heard("The cat sat.", "the cat sit", "en")]) == pytest.approx(1 / 3)
    both = [Heard("你好世界", "你好时界", "zh"), Heard("The cat sat.", "the cat sit", "en")]
    assert error_rate(both) == pytest.approx(2 / 7)


def test_a_duration_is_judged_by_the_pace_of_the_language() -> None:
    assert rewards.duration("你好世界你好", 1.2, "zh").value == 1.0  # 5 syllables a second
    assert rewards.duration("six ch", 1.2, "en").value < 1.0
    assert rewards.duration("안녕하세요", 1.0, "ko").value == 1.0


@pytest.mark.parametrize("text", ["Hmm.", "(laughs)", "[music]", "...", "Um... uh", "", "😀"])
def test_a_text_of_which_nothing_is_left_to_recognize_is_known_beforehand(text: str) -> None:
    assert not rewards.has_letters(text, "en") and rewards.has_letters("Oh, well.", "en")


def test_a_recognizer_says_beforehand_which_languages_it_does_not_know() -> None:
    recognizer = Recognizer("whisper-tiny.en", "check.recognizer")
    assert recognizer.problem("en") == "" and "knows English only, not 'fr'" in recognizer.problem("fr")
    with pytest.raises(BadInput, match=r"check\.recognizer: hibari is not a recognizer"):
        Recognizer("hibari", "check.recognizer")
