"""`unicode@1`: in every script right text is right, however it is encoded, and one wrong letter is one error."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech_eval.metrics.base import ScoringItem
from speech_eval.metrics.wer import UnicodeCER, UnicodeWER
from speech_eval.records import Output, Sample
from speech_eval.text import separates_words, unicode_letters, unicode_words
from speech_eval.text.chinese import simplified


@dataclass(frozen=True)
class Case:
    """A sentence with native punctuation and digits; the same as a recognizer without either may write it; and with one
    wrong letter, of as many letters and words as the normalized sentence has."""

    language: str
    written: str
    spoken: str
    wrong: str
    letters: int
    words: int


CASES = [
    Case("ar", "«كَتَبَ الوَلَدُ ٣ كُتُبٍ»، أليس كذلك؟", "كتب الولد 3 كتب أليس كذلك", "كتب البلد 3 كتب أليس كذلك", 25, 6),
    Case("fa", "کتاب‌ها را خواندم؛ ۱۲ تا!", "كتابها را خواندم 12 تا", "کتابها را خواندی 12 تا", 22, 5),
    Case("he", "שָׁלוֹם, עוֹלָם־יָפֶה!", "שלום עולם יפה", "שלום עולם יקה", 13, 3),
    Case("hi", "मेरा घर नदी के पास है।", "मेरा घर नदी के पास है", "मेरा घर नदी के पास हो", 21, 6),
    Case("bn", "আমি ভাত খাই, ৫ বার।", "আমি ভাত খাই 5 বার", "আমি ভাত খাও 5 বার", 17, 5),
    Case("ta", "மரம் பெரியது; ௨ மரங்கள்.", "மரம் பெரியது 2 மரங்கள்", "மரம் பெரியத 2 மரங்கள்", 22, 4),
    Case("te", "నేను ఇంటికి వెళ్తున్నాను.", "నేను ఇంటికి వెళ్తున్నాను", "నేను ఇంటికి వెళ్తున్నాడు", 24, 3),
    Case("th", "น้ำมีรสดี “มาก” ๓ ครั้ง", "น้ํามีรสดีมาก3ครั้ง", "น้ำมีรสดูมาก3ครั้ง", 18, 4),
    Case("lo", "ນ້ຳ​ມີ​ລົດ​ດີ ໕ ເທື່ອ", "ນ້ໍາມີລົດດີ 5 ເທື່ອ", "ນ້ຳມີລົດດູ 5 ເທື່ອ", 16, 6),
    Case("my", "မြန်မာစာ၊ လှသည်။ ၇", "မြန်မာစာလှသည်7", "မြန်မာစာလှသည်8", 14, 3),
    Case("km", "ភាសា​ខ្មែរ ពីរោះ។ ៤", "ភាសាខ្មែរពីរោះ4", "ភាសាខ្មែរពីរោង4", 15, 4),
    Case(
        "zh-Hans", "今天天气很好，我们去公园吧！", "今天 天气 很好 我们 去 公园 吧", "今天天气很好我们去花园吧", 12, 12
    ),
    Case("zh-Hant", "「軟體」很好，對嗎？", "软体很好对吗", "软体很坏对吗", 6, 6),
    Case("yue", "佢哋喺邊度呀？", "佢哋 喺 边度 呀", "佢哋喺邊度啊", 6, 6),
    Case("ja", "今日は、ｶﾀｶﾅを１２個書いた。", "今日はカタカナを12個書いた", "今日はカタカナと12個書いた", 14, 13),
    Case(
        "ko",
        "오늘은 날씨가 좋네요. “산책”할까요?",
        "오늘은 날씨가 좋네요 산책 할까요",
        "오늘은 날씨가 좋아요 산책 할까요",
        18,
        5,
    ),
    Case(
        "vi", "Hôm nay trời đẹp quá; hoà bình!", "hôm nay trời đẹp quá hòa bình", "hôm nay trời đẹp quá hòa bìng", 29, 7
    ),
    Case("tr", "İzmir'de IŞIK var mı?", "i̇zmirde ışık var mı", "izmirde işik var mı", 19, 4),
    Case("de", "„Straße“ – 1.000 Häuser…", "STRASSE 1000 häuser", "strasse 1000 hauser", 19, 3),
    Case("el", "Ο ΔΡΌΜΟΣ είναι μακρύς· σωστά;", "ο δρόμος είναι μακρύς σωστά", "ο δρόμος είναι μακρός σωστά", 27, 5),
    Case("ru", "За́мок — ещё не «замо́к».", "замок еще не замок", "замок еще не заток", 18, 4),
    Case("uk", "П’ять їжаків — у саду!", "п'ять їжаків у саду", "п'ять їжаків у сапу", 19, 4),
    Case("pl", "„Zażółć” gęślą jaźń…", "zażółć gęślą jaźń", "zażółc gęślą jaźń", 17, 3),
    Case("fr", "L’été, c’est « fini » !", "l été c est fini", "l été c est fine", 16, 5),
    Case(
        "en",
        "Don’t co\u00adoperate: it's 1,000 dollars.",
        "dont cooperate its 1000 dollars",
        "dont cooperate its 1000 collars",
        31,
        5,
    ),
]
ids = [case.language for case in CASES]


def parts(metric: UnicodeWER | UnicodeCER, case: Case, hypothesis: str) -> dict[str, float]:
    sample = Sample(id="s", text=case.written, language=case.language)
    return metric.score(ScoringItem(sample, Output(id="s", task="t", status="ok", seed=0), hypothesis)).parts


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_right_text_without_points_and_punctuation_has_no_errors(case: Case) -> None:
    for hypothesis in (case.written, case.spoken):
        assert parts(UnicodeCER(), case, hypothesis)["errors"] == 0, hypothesis
        assert parts(UnicodeWER(), case, hypothesis)["errors"] == 0, hypothesis


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_wrong_letter_is_one_error_of_all_letters_and_words(case: Case) -> None:
    letters, words = parts(UnicodeCER(), case, case.wrong), parts(UnicodeWER(), case, case.wrong)
    assert (letters["errors"], letters["reference_characters"]) == (ERRORS.get(case.language, 1), case.letters)
    assert (words["errors"], words["reference_words"]) == (1, case.words)


# In these, the word differs by more than one code point.
ERRORS = {"tr": 2}


@pytest.mark.parametrize("case", CASES, ids=ids)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_the_form_of_composition_does_not_matter(case: Case, form: str) -> None:
    hypothesis = unicodedata.normalize(form, case.written)  # type: ignore[arg-type]
    assert parts(UnicodeCER(), case, hypothesis)["errors"] == parts(UnicodeWER(), case, hypothesis)["errors"] == 0


INVISIBLE = [
    "\ufeff",
    "\u00ad",
    "\u200d",
    "\u200e",
    "\u200f",
    "\u202b",
    "\u2066",
    "\u2069",
    "\u2060",
    "\ufe0f",
    "\u034f",
]


@pytest.mark.parametrize("case", CASES, ids=ids)
@pytest.mark.parametrize("char", INVISIBLE, ids=[f"{ord(char):04x}" for char in INVISIBLE])
def test_characters_that_nobody_sees_do_not_matter(case: Case, char: str) -> None:
    for hypothesis in (char + case.spoken + char, case.spoken[:3] + char + case.spoken[3:]):
        assert parts(UnicodeCER(), case, hypothesis)["errors"] == 0
        assert parts(UnicodeWER(), case, hypothesis)["errors"] == 0


@pytest.mark.parametrize("case", [case for case in CASES if not separates_words(case.language)], ids=str)
def test_spaces_do_not_count_where_they_do_not_separate_words(case: Case) -> None:
    spaced = " ".join(case.spoken.replace(" ", ""))
    assert parts(UnicodeCER(), case, case.spoken.replace(" ", ""))["errors"] == 0
    if case.language not in ("th", "lo", "my", "km"):  # spaces before marks are no text there
        assert parts(UnicodeCER(), case, spaced)["errors"] == 0


def test_thai_words_are_those_that_the_reference_separates() -> None:
    reference, hypothesis = unicode_words("น้ำ มี รส ดี", "นำมูรส ดุ", "th")
    assert jiwer.wer(reference, hypothesis) == 0.75
    assert unicode_words("น้ำ มี รส ดี", "น้ำมี รสดี", "th") == ("น้ำ มี รส ดี",) * 2


def test_every_wrong_hindi_word_is_wrong() -> None:
    assert jiwer.wer(*unicode_words("मेरा घर नदी के पास है", "मोरी घोर नादु का पासा हो", "hi")) == 1.0


@pytest.mark.parametrize("heard", ["می\u200cخواهم بروم", "می خواهم بروم", "میخواهم بروم"])
def test_the_persian_non_joiner_is_like_a_space_or_nothing(heard: str) -> None:
    reference, hypothesis = unicode_words("می\u200cخواهم بروم", heard, "fa")
    assert (reference, hypothesis) == ("میخواهم بروم",) * 2


def test_the_number_of_reference_words_does_not_depend_on_the_hypothesis() -> None:
    for heard in ("می\u200cخواهم بروم", "می خواهم بروم", "میخواهم بروم"):
        assert unicode_words("می خواهم بروم", heard, "fa")[0] == "می خواهم بروم"
    assert unicode_words("می خواهم بروم", "می\u200cخواهم بروم", "fa")[1] == "می خواهم بروم"


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("ml", "അവന്\u200d", "അവൻ"),  # chillu as a sequence and as a letter
        ("bn", "হঠাত্\u200d", "হঠাৎ"),
        ("th", "เเม่น้ำ", "แม่น้ำ"),  # two ເ for one แ
        ("ro", "ştiinţă", "știință"),  # cedilla and comma
        ("ur", "كيا", "کیا"),
        ("ar", "ﻛﺘﺎﺏ", "كتاب"),  # presentation forms
        ("ar", "كـــتاب", "كتاب"),
        ("he", 'צה"ל', "צה״ל"),
        ("ko", "한국", "한국"),
        ("az", "İI", "iı"),
        ("uk", "п\u02bcять", "п`ять"),
        ("hi", "क़लम १२", "क\u093cलम 12"),
        ("en", "1️⃣ ½", "1 1/2"),
        ("de", "1.000,50", "1000,50"),
        ("hi", "1,00,000", "100000"),
        ("fr", "10\u202f000", "10000"),
    ],
)
def test_one_text_in_two_encodings_is_one_text(language: str, one: str, other: str) -> None:
    first, second = unicode_words(one, other, language)
    assert first == second != ""


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("hi", "की", "का"),  # vowel signs
        ("th", "มา", "ม้า"),  # tones
        ("vi", "ma", "mã"),
        ("ja", "か", "が"),
        ("es", "ano", "año"),
        ("uk", "п'ять", "пять"),  # the apostrophe is a letter
        ("tr", "kırık", "kirik"),
        ("be", "ё", "е"),  # a letter of its own, unlike in Russian
        ("zh", "計程車", "出租车"),  # other words for the same thing
        ("yi", "אַ", "א"),
        ("mk", "ѓ", "г"),
    ],
)
def test_marks_that_carry_meaning_stay(language: str, one: str, other: str) -> None:
    first, second = unicode_letters(one, other, language)
    assert first != second


def test_traditional_characters_are_folded_the_same_way_as_by_zhconv() -> None:
    zhconv = pytest.importorskip("zhconv")
    text = "臺灣的圖書館裡有許多關於歷史與經濟發展的書籍，讓學生們閱讀學習"
    assert simplified(text) == zhconv.convert(text, "zh-hans")
    assert simplified(simplified(text)) == simplified(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.sampled_from(["en", "ar", "fa", "he", "hi", "th", "zh", "ja", "ko", "tr", "vi", "uk"]))
def test_a_text_equals_itself_in_any_form_and_normalizing_twice_changes_nothing(text: str, language: str) -> None:
    first, second = unicode_words(text, unicodedata.normalize("NFD", text), language)
    assert first == second
    assert unicode_words(first, first, language)[0] == first
