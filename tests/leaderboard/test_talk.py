"""Conversations on a run's page: two channels drawn, heard left and right, and told as a list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.chromium import CHROMIUM, Browser

from speech_eval import evaluate
from speech_eval.audio import Audio, load
from speech_eval.leaderboard.build import build
from speech_eval.leaderboard.talk import Talk, talk
from speech_eval.records import Output, Sample, Score

RATE = 16_000
TURN = "turn-taking[vad-segments@1]"


def sound(*spans: tuple[float, float], seconds: float = 4.0) -> Audio:
    """Noise in these spans, silence elsewhere."""
    samples = np.zeros(round(seconds * RATE), dtype=np.float32)
    for start, end in spans:
        part = slice(round(start * RATE), round(end * RATE))
        samples[part] = 0.1 * np.random.default_rng(0).standard_normal(part.stop - part.start)
    return Audio(samples, RATE)


def drawn(agent: Audio, parts: dict[str, float], **metadata: object) -> Talk:
    sample = Sample(id="a", language="en", metadata={"turn_end": 2.0, "pauses": [[0.8, 1.2]]} | metadata)
    output = Output(id="a", task="turn-taking", status="ok", seed=0, metadata={"words": [["yes", 2.4]]})
    score = Score(id="a", metric=TURN, output="", status="ok", parts=parts)
    return talk(sample, output, [score], sound((0.2, 0.8), (1.2, 2.0)), agent)


CLEAN = {"cut_off": 0.0, "turn": 1.0, "clean": 1.0, "latency": 0.4}
CUT = {"cut_off": 1.0, "turn": 1.0, "clean": 0.0, "latency": 0.0}
MISSED = {"cut_off": 0.0, "turn": 0.0, "clean": 0.0, "latency": 0.0}


def test_places_are_shares_of_the_conversation() -> None:
    found = drawn(sound((2.4, 3.6)), CLEAN, words=[[1, "hello", 0.2, 0.8], [0, "not the user's", 1.0, 2.0]])
    assert (found.seconds, found.turn_end, found.pauses) == (4.0, 50.0, [(20.0, 10.0)])
    assert list(found.lanes[0].spans) == [
        pytest.approx((5.0, 15.0), abs=0.3),
        pytest.approx((30.0, 20.0), abs=0.3),
    ]
    assert found.lanes[0].words == [(5.0, "hello")] and found.lanes[1].words == [(60.0, "yes")]
    assert found.lanes[0].path.startswith("M0 ") and not found.overlaps


@pytest.mark.parametrize(
    ("agent", "parts", "decision"),
    [
        (sound((2.4, 3.6)), CLEAN, (60.0, "clean", "takes the turn 0.40 s after its end")),
        (sound((1.0, 1.5)), CUT, (25.0, "cut", "cuts in 1.00 s before the turn ends")),
        (sound(), MISSED, (50.0, "missed", "does not take the turn")),
    ],
)
def test_what_the_agent_did_is_said(agent: Audio, parts: dict[str, float], decision: tuple[float, str, str]) -> None:
    found = drawn(agent, parts)
    assert found.decision is not None and found.decision[1:] == decision[1:]
    assert found.decision[0] == pytest.approx(decision[0], abs=0.3)
    assert decision[2] in found.summary and any(text == decision[2] for _, _, text in found.events)


def test_overlaps_are_marked() -> None:
    ((start, width),) = drawn(sound((1.5, 3.0)), CUT).overlaps
    assert (start, width) == (pytest.approx(37.5, abs=0.3), pytest.approx(12.5, abs=0.5))


@pytest.mark.parametrize(
    "rows", [7, "no", [[1, 2, 3, 4]], [[1, "x", float("nan"), 1]], [None], [[1, "late", 1e300, 1e301]]]
)
def test_records_of_a_stranger_draw_what_can_be_drawn(rows: object) -> None:
    found = drawn(sound((2.4, 3.6)), CLEAN, words=rows, pauses=rows, turn_end="soon")
    assert found.decision is None and not found.pauses
    assert all(0 <= place <= 100 for place, _ in found.lanes[0].words)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("talk")
    evaluate("vad-timeout", ["turn-taking"], output=root / "run", limit=1)
    return build([root / "run"], root / "site").index.parent


@pytest.mark.slow
def test_both_channels_are_one_stereo_sound(site: Path) -> None:
    import soundfile

    stereo = [file for file in (site / "audio").glob("*.ogg") if soundfile.info(file).channels == 2]
    (page,) = (site / "runs").glob("*.html")
    text = page.read_text("utf-8")
    assert len(stereo) == 1 and stereo[0].name in text and 'data-label="Both"' in text
    assert text.count('class="lane1"') == 1 and "What happens when" in text and load(stereo[0]).seconds > 1


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
def test_a_click_and_a_key_move_what_is_heard(site: Path, tmp_path: Path) -> None:
    pytest.importorskip("websockets")
    (page,) = (site / "runs").glob("*.html")
    with Browser(tmp_path) as browser:
        browser.look(1280, 900)
        browser.open(page.as_uri())
        browser.wait("document.documentElement?.dataset.players === 'ready'")
        lanes = "document.querySelector('.lanes').getBoundingClientRect()"
        click = f"new MouseEvent('click', {{clientX: {lanes}.left + {lanes}.width / 2}})"
        browser.run(f"document.querySelector('.lanes').dispatchEvent({click})")
        browser.wait("parseFloat(document.querySelector('.now').getAttribute('x1')) > 40")
        browser.run("document.querySelector('[data-sample]').focus()")
        for key, label in (("r", "User"), ("a", "Agent"), ("s", "Both")):
            browser.press(key)
            browser.wait(f"document.querySelector('[aria-checked=true]').textContent === '{label}'")
        assert not browser.problems
