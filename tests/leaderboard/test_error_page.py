"""The page of a run's errors, for recognizers, synthesizers and models that answer questions."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import sliced_runs
from support.chromium import CHROMIUM, Browser
from support.data_files import lines, tone
from support.run_fixture import LATENCY, TTS, write_run
from test_leaderboard import Page

from speech_eval.analysis.word_errors import Pattern
from speech_eval.engine import session
from speech_eval.engine.settings import Settings
from speech_eval.leaderboard.build import build
from speech_eval.leaderboard.error_page import EXAMPLES, _examples

SAID = (
    ("On Monday Alice paid forty dollars in Berlin", "on monday alice paid fourteen dollars in dublin"),
    ("The river runs to the sea", "the river runs runs runs runs runs runs to the sea"),
    ("", "thank you for watching"),
    ("We met Peter in 1999 at the old station", "we met peter in 1989 at the station"),
    ("The garden is closed", "something else entirely was said"),
    ("The river runs", "the river runs"),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("errors")
    data = [{"id": f"s{i}", "text": text, "language": "en", "audio": "tone.wav"} for i, (text, _) in enumerate(SAID)]
    sliced_runs.run(folder, data, lambda row: SAID[int(row["id"][1:])][1])
    write_run(folder, "voice", tasks=[TTS], samples=30, failed=1, error_rate=0.4)
    write_run(folder, "timed", tasks=[LATENCY], samples=3, failed=0, audio=False)
    tone(folder / "tone.wav")
    answers = {"q0": ("A", "The answer is B"), "q1": ("B", "The answer is B"), "q2": ("C", "I cannot tell")}
    told = lines(folder / "qa" / "answers.jsonl", *({"id": key, "text": said} for key, (_, said) in answers.items()))
    asked = [
        {"id": key, "text": right, "language": "en", "audio": "tone.wav", "prompt_text": f"What is {key}?"}
        for key, (right, _) in answers.items()
    ]
    settings = Settings(data=str(lines(folder / "qa.jsonl", *asked)), workers=1)
    session.run(f"outputs:{told.parent}", ["voicebench-mmsu"], folder / "qa-run", settings)
    runs = [folder / "run", folder / "qa-run", folder / "voice-0", folder / "timed-0"]
    return build(runs, folder / "site", max_samples=8).index.parent


def page(site: Path, name: str) -> Page:
    (found,) = (path for path in site.glob("errors/*.html") if f">Errors of {name}</h1>" in path.read_text("utf-8"))
    return Page(found)


def test_a_recognizers_errors_are_named_and_played(site: Path) -> None:
    found = page(site, "run-outputs")
    for words in (
        *("berlin → dublin names", "$40 → $14 numbers", "1999 → 1989 numbers", "Deleted phrases 1 of 1", "runs ×6"),
        *("Words where there is no speech 1 of 1", "thank you for watching", "Answers without a word of the reference"),
    ):
        assert words in found.text
    assert "river → " not in found.text
    assert {a["aria-label"] for a in found.of("audio")} == {f"Input of s{i}" for i in range(5)}


def test_a_synthesizers_errors_are_played_within_the_share_of_samples(site: Path) -> None:
    found = page(site, "voice")
    outputs = {a["aria-label"] for a in found.of("audio")}
    assert len(outputs) == 8 and all(str(label).startswith("Output of seed-tts-") for label in outputs)
    assert all((site / "errors" / str(a["src"])).is_file() for a in found.of("audio"))


def test_wrong_answers_to_questions_are_counted_by_what_was_found_in_them(site: Path) -> None:
    found = page(site, "qa")
    assert "2 wrong answers" in found.text and "A → B" in found.text and "C → no answer found" in found.text
    assert "What is q0?" in found.text and "I cannot tell" in found.text and "q1" not in found.text


def test_a_run_without_texts_has_no_such_page_and_the_others_link_to_it(site: Path) -> None:
    assert len(list(site.glob("errors/*.html"))) == 3
    for path in site.glob("runs/*.html"):
        linked = [a["href"] for a in Page(path).of("a") if "errors/" in str(a.get("href"))]
        assert linked == ([] if path.name.startswith("timed") else [f"../errors/{path.name}"])


def test_examples_prefer_samples_that_have_players() -> None:
    rows = [
        Pattern("confused", word, "x", 9, ids)
        for word, ids in (("a", ("1", "2", "3", "4")), ("b", ("5", "3")), ("c", ("6",)))
    ]
    chosen, played = _examples(rows, 4)
    assert [chosen[row] for row in rows] == [["1", "2", "3"], ["3", "5"], ["6"]]
    assert played == {"1", "2", "3", "5"} and max(map(len, chosen.values())) <= EXAMPLES


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
def test_an_error_opens_from_the_keyboard_and_its_sound_plays(site: Path, tmp_path: Path) -> None:
    pytest.importorskip("websockets")
    (path,) = (p for p in site.glob("errors/*.html") if ">Errors of voice</h1>" in p.read_text("utf-8"))
    with Browser(tmp_path / "profile") as browser:
        browser.look(390, 800, phone=True)
        browser.open(path.as_uri())
        browser.run("document.querySelector('.errors summary').focus()")
        browser.press("Enter")
        browser.wait("document.querySelector('.errors details').open")
        browser.run("document.querySelector('.errors audio').play()")
        browser.wait("document.querySelector('.errors audio').currentTime > 0")
        assert browser.run("document.documentElement.scrollWidth") <= 390 and not browser.problems
