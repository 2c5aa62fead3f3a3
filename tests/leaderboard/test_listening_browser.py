"""A listening test in a real headless Chromium: by keyboard alone, paused and resumed, from a disk and from the server.

Sounds really play, eight times as fast.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.chromium import CHROMIUM, Browser
from support.listening_runs import codec_runs
from support.raters import Rater
from support.serving import serving

from speech_eval.analysis.listening.description import Answers, Key, read_answers
from speech_eval.analysis.listening.kinds import KINDS
from speech_eval.api.listening import import_answers, listening_report
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.leaderboard.listening.build import Built, Options, build
from speech_eval.leaderboard.listening.serve import server

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")

GOOD = {"oracle": 4.3, "noisy": 2.6}
READY = "document.documentElement?.dataset.listening === 'ready'"
STATE = "JSON.parse(localStorage.getItem('speech-eval-listening-{}'))"
_FAST = (
    "const play = HTMLMediaElement.prototype.play;"
    "HTMLMediaElement.prototype.play = function () { this.playbackRate = 8; return play.call(this); };"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    pytest.importorskip("websockets")
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.look(1280, 900)
        opened.call("Page.addScriptToEvaluateOnNewDocument", source=_FAST)
        yield opened


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunDirectory]:
    return codec_runs(tmp_path_factory.mktemp("runs"), samples=2)


def made(runs: list[RunDirectory], folder: Path, kinds: tuple[str, ...], samples: int = 1) -> Built:
    return build([run.path for run in runs], folder / "test", Options(kinds=kinds, samples=samples))


class Listener:
    """A rater at the keyboard: nothing is clicked, every key goes to whatever has the focus."""

    def __init__(self, browser: Browser, key: Key, rater: Rater, form: int) -> None:
        self.browser, self.key, self.rater, self.form = browser, key, rater, form

    def title(self) -> str:
        return str(self.browser.run("document.querySelector('h1').textContent"))

    def on(self, condition: str) -> None:
        """Go on, and wait for the next screen."""
        self.browser.press("Enter")
        self.browser.wait(condition)

    def hear(self, key: str) -> None:
        self.browser.press(key)
        self.browser.wait(f"document.querySelector('.sound[data-key={key}] .sound-state').textContent === 'heard'")

    def check_in(self) -> None:
        """Welcome, volume, headphones."""
        self.on("document.querySelector('h1').textContent === 'Set the volume'")
        self.hear("a")
        self.on("document.querySelector('h1').textContent.startsWith('Headphone check, 1')")
        for number, quietest in enumerate(self.key.quietest, 1):
            self.browser.wait(f"document.querySelector('h1').textContent.startsWith('Headphone check, {number}')")
            self.browser.press(" ")
            self.browser.wait("document.querySelector('.sound-state').textContent === 'heard'")
            self.browser.press(str(quietest))
            self.browser.press("Enter")
        self.browser.wait("!document.getElementById('progress').hidden")

    def trial(self, position: int) -> None:
        """Hear, answer, go on."""
        step = self.key.forms[self.form][position]
        kind = KINDS[self.key.trials[step.trial].kind]
        value = self.rater.answer(self.key, step.trial, step.order)
        sounds = self.browser.run("[...document.querySelectorAll('.sound')].map((sound) => sound.dataset.key)")
        if isinstance(value, list):
            self.grade(sounds, value)
        else:
            for key in sounds:
                self.hear(key)
            self.answer(kind.name, value)
        self.browser.press("Enter")
        last = position + 1 == len(self.key.forms[self.form])
        done = "document.querySelector('h1').textContent === 'Done'"
        self.browser.wait(done if last else f"document.getElementById('progress').value === {position + 1}")

    def answer(self, kind: str, value: int | str) -> None:
        if isinstance(value, str):
            self.tab_to("textarea")
            for letter in "a hum":
                self.browser.press(letter)
            self.tab_to(".go")
            return
        choices = [choice for choice, _ in KINDS[kind].choices]
        self.browser.press(str(value if len(choices) == 5 else choices.index(value) + 1))

    def grade(self, sounds: list[str], grades: list[int]) -> None:
        assert sounds[0] == "r"
        for key in sounds:
            self.browser.press(key)
            self.browser.wait(
                f"document.querySelector('.sound[data-key={key}] .sound-state').textContent === 'playing'"
            )
            if key == "r":
                continue
            moved = grades[sounds.index(key) - 1]
            self.browser.press("Home")
            for _ in range(moved // 10):
                self.browser.press("PageUp")
            for _ in range(moved % 10):
                self.browser.press("ArrowRight")
            free = "[...document.querySelectorAll('.grade input:not(:disabled)')].map((one) => one.id).join()"
            assert self.browser.run(free) == f"grade-{key}"
            assert self.browser.run(f"document.querySelector('#grade-{key}').value") == str(moved)

    def tab_to(self, selector: str) -> None:
        for _ in range(12):
            if self.browser.run(f"document.activeElement.matches({json.dumps(selector)})"):
                return
            self.browser.press("Tab")
        raise AssertionError(f"no Tab leads to {selector}")

    def everything(self) -> None:
        self.check_in()
        for position in range(len(self.key.forms[self.form])):
            self.trial(position)


def expected(key: Key, number: int, form: int) -> list[object]:
    """What a rater of that number answers; texts as the listener types them."""
    rater = Rater(number, GOOD)
    given = [rater.answer(key, step.trial, step.order) for step in key.forms[form]]
    return ["a hum" if isinstance(value, str) else value for value in given]


@pytest.mark.slow
def test_all_kinds_by_keyboard_alone_from_a_disk(browser: Browser, runs: list[RunDirectory], tmp_path: Path) -> None:
    built = made(runs, tmp_path, tuple(KINDS))
    browser.open(f"{built.page.as_uri()}?form=5", READY)
    listener = Listener(browser, built.key, Rater(7, GOOD), 5)
    listener.everything()
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    listener.tab_to("a[download]")
    browser.press("Enter")
    name = f"answers-{built.key.test}-{browser.run(STATE.format(built.key.test))['rater']}.json"
    for _ in range(200):
        if (tmp_path / name).is_file():
            break
        time.sleep(0.05)
    file = (tmp_path / name).read_text()
    found = read_answers(file.encode(), built.key)
    assert found.complete and found.form == 5 and found.headphones == built.key.quietest
    assert [answer.value for answer in found.answers] == expected(built.key, 7, 5)
    assert set(json.loads(file)) == set(Answers.model_fields)  # nothing about the person or the browser
    assert not browser.problems and not [
        r for r in browser.requests if not r.startswith(("file:", "data:", "blob:", "about:"))
    ]


@pytest.mark.slow
def test_raters_of_known_bias_hand_in_and_the_difference_is_found(
    browser: Browser, runs: list[RunDirectory], tmp_path: Path
) -> None:
    built = made(runs, tmp_path, ("mos",), samples=2)
    folder = tmp_path / "test"
    with serving(server(folder)) as running:
        for number in range(5):
            address = f"http://127.0.0.1:{running.server_port}/"
            browser.open(address, READY)
            browser.run("localStorage.clear()")
            browser.open(address, READY)
            form = number  # as the server gives them out
            Listener(browser, built.key, Rater(number + 1, GOOD, lenience=0.6, noise=0.3), form).everything()
            browser.wait("document.documentElement.dataset.sent === 'yes'")
    files = sorted((folder / "answers").iterdir())
    assert sorted(json.loads(file.read_text())["form"] for file in files) == list(range(5))
    found = listening_report(folder)
    assert found.raters == found.complete == found.headphones == 5 and not found.excluded
    (mos,) = found.contrasts
    lead = mos.difference if mos.a == "oracle" else -mos.difference
    assert lead == pytest.approx(1.7, abs=0.5) and found.alpha["mos"] is not None and found.alpha["mos"] > 0.4
    import_answers(folder, [run.path for run in runs])
    values = [
        next(m.strict.value for m in run.results().tasks[0].metrics if m.metric.startswith("mos[human")) for run in runs
    ]
    assert values[0] is not None and values[1] is not None and values[0] - values[1] == pytest.approx(lead, abs=1e-5)


@pytest.mark.slow
def test_a_paused_test_goes_on_where_it_was(browser: Browser, runs: list[RunDirectory], tmp_path: Path) -> None:
    built = made(runs, tmp_path, ("ab",))
    browser.open(f"{built.page.as_uri()}?form=2", READY)
    listener = Listener(browser, built.key, Rater(3, GOOD), 2)
    listener.check_in()
    listener.trial(0)
    before = browser.run(STATE.format(built.key.test))
    browser.open(built.page.as_uri(), READY)  # another form would be drawn for somebody new
    assert browser.run("document.querySelector('.go').textContent").startswith("Go on")
    listener.on("!document.getElementById('progress').hidden && document.getElementById('progress').value === 1")
    listener.trial(1)
    state = browser.run(STATE.format(built.key.test))
    assert state["rater"] == before["rater"] and len(state["answers"]) == 2


@pytest.mark.slow
def test_nobody_goes_on_unheard_and_screen_readers_are_told(
    browser: Browser, runs: list[RunDirectory], tmp_path: Path
) -> None:
    built = made(runs, tmp_path, ("mos", "mushra"))
    browser.open(f"{built.page.as_uri()}?form=0", READY)
    listener = Listener(browser, built.key, Rater(3, GOOD), 0)
    listener.check_in()
    browser.press("4")
    browser.press("Enter")
    assert "to the end first" in browser.run("document.getElementById('said').textContent")
    assert browser.run("document.getElementById('progress').value") == 0
    kinds = [built.key.trials[step.trial].kind for step in built.key.forms[0]]
    for position in range(kinds.index("mushra")):
        unnamed(browser)
        listener.trial(position)
    unnamed(browser)
    for width, phone in ((1280, False), (390, True)):
        browser.look(width, 844, phone=phone)
        assert browser.run("document.documentElement.scrollWidth <= innerWidth"), width
    targets = "[...document.querySelectorAll('.sound, .go, .grade input')]"
    assert browser.run(f"{targets}.filter((one) => one.getBoundingClientRect().height < 44).length") == 0
    browser.look(1280, 900)


# Every start of a source, and nothing else changed.
_STARTS = (
    "window.starts = []; const start = AudioBufferSourceNode.prototype.start;"
    "AudioBufferSourceNode.prototype.start = function (when, at) {"
    " window.starts.push([when, at, this.loopStart, this.loopEnd, this.buffer.length, this.loop]);"
    " return start.call(this, when, at); };"
)


@pytest.mark.slow
def test_a_region_of_the_waveform_loops_all_sounds_at_the_same_sample(
    browser: Browser, runs: list[RunDirectory], tmp_path: Path
) -> None:
    built = made(runs, tmp_path, ("mushra",))
    browser.open(f"{built.page.as_uri()}?form=0", READY)
    listener = Listener(browser, built.key, Rater(3, GOOD), 0)
    listener.check_in()
    ends = "[...document.querySelectorAll('.loop-ends input')].map((one) => Number(one.value))"
    browser.wait(f"{ends}[1] > 0.5")
    browser.run(_STARTS)
    seconds = float(browser.run("Number(document.querySelector('.loop-ends input').max)"))
    low, high = 0.1 * seconds, 0.1 * seconds + 0.55
    assert high < 0.97 * seconds
    browser.drag(".wave", low / seconds, high / seconds)
    assert browser.run(ends) == pytest.approx([low, high], abs=0.03)
    sounds = browser.run("[...document.querySelectorAll('.sound')].map((sound) => sound.dataset.key)")
    places = []
    for key in [*sounds, *sounds]:
        browser.press(key)
        browser.wait(f"document.querySelector('.sound[data-key={key}] .sound-state').textContent === 'playing'")
        for _ in range(3):
            time.sleep(0.1)
            places.append(float(browser.run("parseFloat(document.querySelector('.wave-head').style.left)")) / 100)
    starts = browser.run("window.starts")
    assert len(starts) == len(sounds) and len({tuple(one) for one in starts}) == 1
    assert starts[0][2:4] == pytest.approx([low, high], abs=0.03) and starts[0][5] is True
    assert low - 0.03 <= min(places) * seconds and max(places) * seconds <= high + 0.03 and len(set(places)) > 5
    listener.tab_to("[aria-label='Loop from']")
    browser.press("Home")
    assert browser.run(ends)[0] == 0
    again = browser.run("window.starts")[len(sounds) :]
    assert len(again) == len(sounds) and len({tuple(one) for one in again}) == 1 and again[0][2] == 0
    assert not browser.problems


def unnamed(browser: Browser) -> None:
    """Every control of the page has a name for a screen reader."""
    roles = {"button", "radio", "slider", "textbox", "checkbox", "link", "progressbar"}
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in nodes if not node["ignored"] and node.get("role", {}).get("value") in roles]
    assert controls and all(node.get("name", {}).get("value") for node in controls)
