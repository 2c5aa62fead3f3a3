"""The site in a real headless Chromium, opened from the disk: sorting, searching, playing, switching, linking."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.chromium import CHROMIUM, Browser
from support.run_fixture import ASR, LATENCY, TTS, write_run
from test_leaderboard import PAYLOADS, _hostile
from test_leaderboard_data import a_run

from speech_eval.engine.run_directory import RunDirectory
from speech_eval.leaderboard.build import PAGE_ROWS, build
from speech_eval.records import SweepPoint

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")]

DRAWN = "document.querySelector('[data-board] thead button')"
PLAYERS = "document.documentElement?.dataset.players === 'ready'"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    pytest.importorskip("websockets")
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.look(1280, 900)
        yield opened


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_run(root, "worse", error_rate=0.5, failed=2, missing=1, samples=12)
    write_run(root, "better", error_rate=0.05, failed=0, samples=12)
    write_run(root, "ground-truth", tasks=[TTS], error_rate=0.01, failed=0, samples=12)
    write_run(root, "part", tasks=[ASR], limit=6, failed=0, samples=6)
    for index in range(PAGE_ROWS + 5):
        write_run(root, f"many-{index}", tasks=[LATENCY], failed=0, samples=3, audio=False)
    return build([root], tmp_path_factory.mktemp("site")).index.parent


def anchor(site: Path, task: str) -> str:
    data = json.loads((site / "data" / "leaderboard.json").read_text())
    (found,) = (board["anchor"] for board in data["boards"] if board["task"] == task)
    return str(found)


def page_of(site: Path, model: str) -> Path:
    (page,) = site.glob(f"runs/{model}-*.html")
    return page


class Board:
    """What stands on one board of the open page."""

    def __init__(self, browser: Browser, site: Path, task: str, query: str = "") -> None:
        self.browser, self.anchor = browser, anchor(site, task)
        self.section = f"document.querySelector('[data-board={self.anchor}]')"
        browser.open(f"{(site / 'index.html').as_uri()}#{self.anchor}{query}")
        browser.wait(f"{self.section}.querySelector('thead button')")

    def models(self) -> list[str]:
        return list(self.browser.run(f"[...{self.section}.querySelectorAll('tbody a')].map(a => a.textContent)"))

    def click(self, selector: str) -> None:
        self.browser.run(f"{self.section}.querySelector({json.dumps(selector)}).click()")

    def text(self) -> str:
        return str(self.browser.run(f"{self.section}.innerText"))


def test_columns_sort_both_ways_with_subsets_last(browser: Browser, site: Path) -> None:
    board = Board(browser, site, ASR)
    assert board.models() == ["better", "worse", "part"]
    board.click("th.primary button")
    browser.wait(f"{board.section}.querySelector('th.primary').getAttribute('aria-sort') === 'descending'")
    assert board.models() == ["worse", "better", "part"]
    board.click("th.primary button")
    browser.wait(f"{board.section}.querySelector('th.primary').getAttribute('aria-sort') === 'ascending'")
    assert board.models() == ["better", "worse", "part"]


def test_sorting_works_from_the_keyboard_and_keeps_the_focus(browser: Browser, site: Path) -> None:
    board = Board(browser, site, ASR)
    browser.run(f"{board.section}.querySelector('[data-key=sort-model]').focus()")
    browser.press("Enter")
    browser.wait(f"{board.section}.querySelector('th.model').hasAttribute('aria-sort')")
    browser.wait("document.activeElement.dataset.key === 'sort-model'")
    browser.press("Enter")
    browser.wait(f"{board.section}.querySelector('th.model').getAttribute('aria-sort') === 'descending'")
    assert board.models() == ["worse", "better", "part"]


def test_people_stay_on_top_whichever_way_a_column_is_sorted(browser: Browser, site: Path) -> None:
    board = Board(browser, site, TTS)
    assert board.models() == ["ground-truth", "better", "worse"]
    board.click("th.primary button")
    browser.wait(f"{board.section}.querySelector('th.primary').getAttribute('aria-sort') === 'descending'")
    assert board.models() == ["ground-truth", "worse", "better"] and "human recordings" in board.text()


def test_the_search_goes_through_all_boards_and_says_how_many_are_left(browser: Browser, site: Path) -> None:
    board = Board(browser, site, ASR)
    browser.press("/")
    for key in "WORSE":
        browser.press(key)
    browser.wait("document.querySelector('[data-filter-count]').textContent === '3 of 38 rows'")
    assert board.models() == ["worse"] and "q=WORSE" in browser.run("location.hash")


def test_whole_data_only_hides_subsets(browser: Browser, site: Path) -> None:
    board = Board(browser, site, ASR)
    browser.run("document.querySelector('#whole').click()")
    browser.wait("document.querySelector('[data-filter-count]').textContent")
    assert board.models() == ["better", "worse"]


def test_columns_can_be_chosen_and_compat_set_beside_strict(browser: Browser, site: Path) -> None:
    board = Board(browser, site, ASR)
    board.click("[data-key=column-1]")
    browser.wait(f"!{board.section}.querySelector('[data-key=sort-1]')")
    board.click("[data-key=compat]")
    browser.wait(f"[...{board.section}.querySelectorAll('th')].some(th => th.textContent === 'compat')")
    assert "columns=0" in browser.run("location.hash") and "compat=1" in browser.run("location.hash")


def test_long_boards_come_in_pages(browser: Browser, site: Path) -> None:
    board = Board(browser, site, LATENCY)
    first = board.models()
    assert len(first) == PAGE_ROWS and f"1–{PAGE_ROWS} of 32" in board.text()
    board.click("[data-key=next]")
    browser.wait(f"{board.section}.querySelectorAll('tbody tr').length === 7")
    assert not set(first) & set(board.models())


def test_a_link_shows_the_same_view(browser: Browser, site: Path) -> None:
    board = Board(browser, site, LATENCY, "?sort=model&up=0&page=2")
    browser.wait(f"{board.section}.querySelector('th.model').getAttribute('aria-sort') === 'descending'")
    assert board.models()[-1] == "better" and f"{PAGE_ROWS + 1}–32 of 32" in board.text()


def test_a_sweep_shows_one_row_per_model_until_every_point_is_asked_for(browser: Browser, tmp_path: Path) -> None:
    depths = {f"codec-depth@depth={depth}": depth for depth in (1, 2, 4)}
    points = {name: SweepPoint(task="codec-depth", axis="depth", value=depth) for name, depth in depths.items()}
    for model, quality in (("dac", 0.8), ("opus", 0.6)):
        a_run(tmp_path / "runs", model, {n: [("stoi[x]", "stoi", "higher", quality)] for n in depths}, sweep=points)
    board = Board(browser, build([tmp_path / "runs"], tmp_path / "site").index.parent, "codec-depth")
    shown = f"[...{board.section}.querySelectorAll('tbody td[data-label=depth]')].map(td => td.textContent)"
    assert board.models() == ["dac", "opus"] and browser.run(shown) == ["4", "4"]
    board.click("[data-key=points]")
    browser.wait(f"{board.section}.querySelectorAll('tbody tr').length === 6")
    assert "points=1" in browser.run("location.hash")


@pytest.mark.parametrize("query", ["?sort=99&page=900", "?sort=%3Cscript%3E&columns=x.y", "?q=%00&page=-3", "?%"])
def test_a_foolish_link_still_shows_the_board(browser: Browser, site: Path, query: str) -> None:
    browser.problems.clear()
    board = Board(browser, site, ASR, query)
    browser.wait(f"{board.section}.querySelector('thead button')")
    assert not browser.problems


def test_what_the_script_draws_reads_as_the_page_without_it(browser: Browser, site: Path) -> None:
    words = "[...document.querySelectorAll('tbody tr')].map(r => r.innerText.replace(/\\s+/g, ' ').trim())"
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open((site / "index.html").as_uri())
        plain = browser.run(words)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    browser.open((site / "index.html").as_uri(), DRAWN)
    browser.run("Promise.all([...document.querySelectorAll('section[data-board]')].map(s => s.scrollIntoView()))")
    browser.wait("[...document.querySelectorAll('section[data-board]')].every(s => s.querySelector('thead button'))")
    assert browser.run(words) == plain


def test_the_theme_button_turns_the_page_dark(browser: Browser, site: Path) -> None:
    browser.open((site / "index.html").as_uri())
    before = browser.run("getComputedStyle(document.body).backgroundColor")
    browser.run("document.querySelector('[data-theme-toggle]').click()")
    assert browser.run("getComputedStyle(document.body).backgroundColor") != before
    assert "Switch to light" in browser.run("document.querySelector('[data-theme-toggle]').ariaLabel")
    browser.run("document.querySelector('[data-theme-toggle]').click()")


# ---------------------------------------------------------------------------------------------- sound


def _listen(browser: Browser, site: Path, query: str = "") -> str:
    browser.open(f"{page_of(site, 'better').as_uri()}{query}", PLAYERS)
    return f"document.querySelector('[data-task={TTS}] [data-sample]')"


def test_space_plays_and_pauses_the_sample_in_focus(browser: Browser, site: Path) -> None:
    sample = _listen(browser, site)
    browser.run(f"{sample}.focus()")
    browser.press(" ")
    browser.wait(f"{sample}.querySelector('audio').currentTime > 0.1")
    browser.press(" ")
    browser.wait(f"{sample}.querySelector('audio').paused")


def test_a_switch_to_another_run_keeps_the_position_and_only_one_is_heard(browser: Browser, site: Path) -> None:
    other = page_of(site, "worse").stem
    _listen(browser, site, f"#s2-1?b={other}")
    samples = f"[...document.querySelectorAll('[data-task={TTS}] [data-sample]')]"
    sample = f"{samples}.find(s => s.querySelectorAll('audio').length > 1)"
    browser.run(f"{sample}.focus()")
    browser.press(" ")
    browser.wait(f"[...{sample}.querySelectorAll('audio')].every(a => a.currentTime > 0.12)")
    browser.press("b")
    heard = browser.run(f"[...{sample}.querySelectorAll('audio')].map(a => [a.muted, a.currentTime])")
    assert [muted for muted, _ in heard] == [True, False] and abs(heard[0][1] - heard[1][1]) < 0.15
    browser.press("x")
    assert browser.run(f"[...{sample}.querySelectorAll('audio')].map(a => a.muted)") == [False, True]


def test_another_run_is_chosen_from_its_board_and_read_beside_this_one(browser: Browser, site: Path) -> None:
    sample = _listen(browser, site)
    other = page_of(site, "worse").stem
    choose = f"const s = document.querySelector('[data-task={TTS}] [data-listen] select'); s.value = '{other}'; "
    browser.run(choose + "s.dispatchEvent(new Event('change'))")
    browser.wait(f"document.querySelector('[data-task={TTS}] .other ins, [data-task={TTS}] .other del')")
    assert browser.run("location.hash").endswith(f"?b={other}")
    assert browser.run(f"{sample}.querySelector('.other-name').textContent") == "B worse"


def test_sounds_are_lowered_to_the_quietest_until_the_switch_is_off(browser: Browser, site: Path) -> None:
    other = page_of(site, "worse").stem
    _listen(browser, site, f"#s2-1?b={other}")
    samples = f"[...document.querySelectorAll('[data-task={TTS}] [data-sample]')]"
    sample = f"{samples}.find(s => s.querySelectorAll('audio').length > 1)"
    volumes = f"[...{sample}.querySelectorAll('audio')].map(a => a.volume)"
    clips = json.loads((site / "data" / "samples" / f"{other}.js").read_text().split(", ", 1)[1].rstrip(";\n)"))
    name = browser.run(f"{sample}.dataset.sample")
    own = float(browser.run(f"{sample}.querySelector('.clip').dataset.loudness"))
    gap = own - clips["tasks"][TTS][name]["loudness"]
    lowered = [10 ** (-max(0, gap) / 20), 10 ** (-max(0, -gap) / 20)]
    assert browser.run(volumes) == pytest.approx(lowered, abs=1e-3) and max(lowered) == 1.0
    browser.run(f"document.querySelector('[data-task={TTS}] [data-level]').click()")
    assert browser.run(volumes) == [1.0, 1.0]
    browser.run(f"document.querySelector('[data-task={TTS}] [data-level]').click()")
    assert browser.run(volumes) == pytest.approx(lowered, abs=1e-3)


def test_j_and_k_walk_through_the_samples(browser: Browser, site: Path) -> None:
    sample = _listen(browser, site)
    browser.run(f"{sample}.focus()")
    first = browser.run("document.activeElement.id")
    browser.press("j")
    second = browser.run("document.activeElement.id")
    browser.press("k")
    assert first != second and browser.run("document.activeElement.id") == first


def test_a_broken_sound_is_said_to_be_so(browser: Browser, site: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(site, tmp_path / "copy")
    for file in (copy / "audio").iterdir():
        file.write_bytes(b"not audio")
    sample = _listen(browser, copy)
    browser.run(f"{sample}.querySelector('.play').click()")
    browser.wait(f"{sample}.querySelector('[role=radio]').title === 'cannot be played'")


# ---------------------------------------------------------------------------------------------- the whole


def test_pages_ask_for_nothing_but_their_own_files(browser: Browser, site: Path) -> None:
    browser.requests.clear()
    browser.problems.clear()
    for name in ("index.html", "charts.html", f"runs/{page_of(site, 'better').name}"):
        browser.open((site / name).as_uri())
        browser.run("new Promise(done => setTimeout(done, 300))")
    own = site.resolve().as_uri()
    assert browser.requests and not browser.problems
    assert all(address.startswith((own, "data:", "about:", "blob:")) for address in browser.requests)


def test_charts_are_drawn(browser: Browser, site: Path) -> None:
    browser.problems.clear()
    browser.open((site / "charts.html").as_uri())
    charts = browser.run("[...document.querySelectorAll('[data-chart]')].map(s => s.dataset.chart)")
    assert "scatter" in charts
    for name in charts:
        browser.run(f"document.getElementById('{name}').scrollIntoView()")
        browser.wait(f"document.querySelector('[data-chart=\"{name}\"]').dataset.drawn !== undefined")
        assert browser.run(f"document.querySelectorAll('[data-chart=\"{name}\"] svg .trace').length") > 0
    assert not browser.problems


@pytest.mark.parametrize("width", [360, 390, 1400])
def test_nothing_is_wider_than_the_screen(browser: Browser, site: Path, width: int) -> None:
    browser.look(width, 800)
    try:
        own = page_of(site, "worse").name
        for name in ("index.html", "charts.html", f"runs/{own}", f"errors/{own}"):
            browser.open((site / name).as_uri())
            browser.run("document.querySelectorAll('.errors details').forEach(one => { one.open = true; })")
            browser.run("new Promise(done => setTimeout(done, 400))")
            assert browser.run("document.documentElement.scrollWidth") <= width, name
            tables = "[...document.querySelectorAll('.scroll:has(table:not(.space))')]"
            assert browser.run(f"{tables}.every(s => s.clientWidth === 0 || s.scrollWidth <= s.clientWidth)"), name
    finally:
        browser.look(1280, 900)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    for index, payload in enumerate(PAYLOADS):
        path = RunDirectory(_hostile(root, payload, index))
        verdict = {"outcome": "regression", "baseline": payload, "judgments": [{"reason": payload}]}
        (path.path / "gate.json").write_text(json.dumps(verdict))
    return build([root], tmp_path_factory.mktemp("hostile-site")).index.parent


@pytest.mark.slow
def test_a_hostile_run_executes_nothing_and_becomes_no_markup(browser: Browser, hostile: Path) -> None:
    for path in (hostile / "index.html", hostile / "charts.html", *sorted(hostile.glob("runs/*.html"))[:4]):
        browser.open(path.as_uri())
        browser.run("window.scrollTo(0, 1e6); new Promise(done => setTimeout(done, 250))")
        assert browser.run("document.title").endswith("speech-eval"), path
        bad = "script:not([src]), img, iframe, object, [onerror], [onload], [onfocus], a[href^='javascript']"
        assert browser.run(f'document.querySelectorAll("{bad}").length') == 0, path


def test_hostile_names_are_searched_as_the_text_they_are(browser: Browser, hostile: Path) -> None:
    browser.open((hostile / "index.html").as_uri() + "#x?q=%3Cscript%3E")
    browser.wait("document.querySelector('[data-filter-count]').textContent.startsWith('1 of')")
    names: Any = browser.run("[...document.querySelectorAll('tbody th.model a')].map(a => a.textContent)")
    assert "<script>document.title='pwned'</script>" in names
