"""The multilingual track of the Open ASR Leaderboard, against answers of its own code at d1e99b2."""

from __future__ import annotations

import pytest

pytest.importorskip("num2words")

from speech_eval.errors import BadInput
from speech_eval.metrics.base import ScoringItem
from speech_eval.metrics.open_asr_multilingual import OpenASRMultilingual
from speech_eval.records import Output, Sample
from speech_eval.text.open_asr_multilingual import open_asr_multilingual, pair_compounds

GOLDEN = [
    ("fr", "Il a trente-quatre ans, et 34 chats (ou 80).", "il a trente quatre ans et trente-quatre chats"),
    (
        "de",
        "Die 10 000 Bücher kosten 1.5 Euro – das sind [lacht] 3,50 €!",
        "die zehntausend bücher kosten eins fünf euro das sind drei fünfzig",
    ),
    ("es", "¿Qué hora es? Son las 3 y media… l'ESPAÑA", "qué hora es son las tres y media l españa"),
    ("it", "L’Italia ha 20 regioni; è il 2º paese", "l italia ha venti regioni è il dueo paese"),
    (
        "pt",
        "Não são 1 234 567 reais, é 21%",
        "não são mil duzentos e trinta e quatro quinhentos e sessenta e sete reais é vinte e um",
    ),
    ("de", "Straßenbahn-Haltestelle Nr. 100000", "straßenbahn haltestelle nr einhunderttausend"),
    ("es", "uno_dos tres—cuatro", "uno dos tres cuatro"),
    ("de", "ét́e ｆｕｌｌ ９", "ét e full neun"),
    ("xx", "7 katter", "7 katter"),
    ("ja", "今日は３月です。", "今日は三月です"),
    ("fr", "", ""),
]


@pytest.mark.parametrize(("language", "text", "normal"), GOLDEN)
def test_normalized_text_is_that_of_the_original(language: str, text: str, normal: str) -> None:
    assert open_asr_multilingual(text, language) == normal


@pytest.mark.parametrize(
    ("reference", "hypothesis", "paired"),
    [
        ("die haustür ist zu", "die haus tür ist zu", ("die haustür ist zu", "die haustür ist zu")),
        ("ab c", "a bc", ("abc", "abc")),
        ("ab c x", "a bc y", ("ab c x", "a bc y")),
        ("", "a", ("", "a")),
    ],
)
def test_stretches_that_differ_in_spaces_alone_are_paired(
    reference: str, hypothesis: str, paired: tuple[str, str]
) -> None:
    assert pair_compounds(reference, hypothesis) == paired


def parts(reference: str, hypothesis: str, language: str = "de") -> dict[str, float]:
    sample = Sample(id="s", text=reference, language=language)
    output = Output(id="s", task="t", status="ok", seed=0, text=hypothesis)
    return OpenASRMultilingual().score(ScoringItem(sample, output, hypothesis)).parts


def test_a_compound_in_two_words_and_a_number_in_digits_are_no_errors() -> None:
    assert parts("Die Haustür kostet 34 Euro.", "die Haus Tür kostet vierunddreißig Euro")["errors"] == 0


def test_what_a_model_left_out_or_put_in_counts() -> None:
    found = parts("eins zwei drei", "eins drei vier")
    assert (found["deletions"], found["insertions"], found["reference_words"]) == (1, 1, 3)


def test_english_has_its_own_metric() -> None:
    with pytest.raises(BadInput, match=r"wer\[open-asr@E\]"):
        parts("one", "one", "en-GB")
