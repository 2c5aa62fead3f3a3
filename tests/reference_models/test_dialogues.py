"""Simulated dialogues: who speaks when, and that the words are where they are said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("hibari")

from speech_eval import datasets
from speech_eval.reference_models.conversation.duplex.channels import AGENT, USER, load_channels, turns_of, words_in
from speech_eval.reference_models.data import dialogues
from speech_eval.reference_models.data.dialogues import (
    FRAME,
    RATE,
    TURNS,
    USERS,
    Dialogue,
    Manners,
    dialogue,
    overlapped_turn,
    spoken,
    user_turn,
)
from speech_eval.reference_models.data.prepare import prepare
from speech_eval.reference_models.data.voices import ASSISTANT, VOICES, tilted

DATA = Path(dialogues.__file__).parent
QUIET = {"noise": (-99.0, -99.0), "gain": (0.0, 0.0), "echo": (0.0, 0.0)}
POLITE = {"backchannel_share": 0.0, "interruption_share": 0.0, "overlap_share": 0.0}


def turns(made: Dialogue, channel: int) -> list[tuple[float, float]]:
    """Start and end of each turn of a channel, by its words."""
    words = [word for word in made.words if word[0] == channel]
    edges = [n for n in range(1, len(words)) if words[n][2] - words[n - 1][3] > 0.001]
    groups = [words[a:b] for a, b in zip([0, *edges], [*edges, len(words)], strict=True)]
    return [(group[0][2], group[-1][3]) for group in groups]


def test_the_same_seed_gives_the_same_dialogue() -> None:
    first, second, other = (dialogue(seed, "hibari-low") for seed in (3, 3, 4))
    assert np.array_equal(first.user, second.user) and first.words == second.words
    assert first.words != other.words


def test_a_conversation_laid_out_anew_has_the_same_words_at_other_times() -> None:
    first, second = (dialogue(3, "hibari-low", Manners(interruption_share=0.0), layout) for layout in (0, 1))
    said = [
        sorted((channel, word) for channel, word, _, _ in made.words if channel == AGENT) for made in (first, second)
    ]
    assert said[0] == said[1] and first.turn_ends != second.turn_ends


def test_interruptions_and_nods_come_from_the_first_words_of_an_answer_on() -> None:
    manners = Manners(**{**POLITE, "interruption_share": 1.0}, **QUIET)
    into = []
    for seed in range(30):
        made = dialogue(seed, "hibari-low", manners)
        start, stop = turns(made, AGENT)[0]
        into.append(stop - start - manners.stops_after)
    assert min(into) < 0.3 and max(into) > 0.8, "the agent stops half a second after the user begins"


@pytest.mark.parametrize("seed", range(4))
def test_the_assistant_answers_after_each_turn_and_never_in_a_pause(seed: int) -> None:
    made = dialogue(seed, "hibari-low", Manners(pause_share=1.0, **POLITE, **QUIET))
    answers = turns(made, AGENT)
    assert made.pauses and len(answers) == len(made.turn_ends)
    for (start, _), end in zip(answers, made.turn_ends, strict=True):
        assert 0.0 <= start - end < 0.5 or 1.3 < start - end < 1.8, "later than any pause where it is late"
        assert start / FRAME == pytest.approx(round(start / FRAME), abs=0.02)
    for begin, end in made.pauses:
        assert all(stop <= begin or start >= end for start, stop in answers)
        assert np.abs(made.user[round(begin * RATE) + 30 : round(end * RATE) - 30]).max() < 1e-3


def test_an_interruption_cuts_the_assistant_off_and_a_backchannel_does_not() -> None:
    cut = dialogue(1, "hibari-low", Manners(**{**POLITE, "interruption_share": 1.0}, **QUIET))
    said = [" ".join(word for channel, word, _, _ in cut.words if channel == AGENT)]
    users = [start for start, _ in turns(cut, USER)]
    first_start, first_stop = turns(cut, AGENT)[0]
    interrupting = min(start for start in users if start > first_start)
    assert interrupting < first_stop <= interrupting + 0.6 and said
    nod = dialogue(1, "hibari-low", Manners(**{**POLITE, "backchannel_share": 1.0}, **QUIET))
    start, stop = turns(nod, AGENT)[0]
    assert any(start < begin and end < stop for begin, end in turns(nod, USER))
    assert stop - start == pytest.approx(len(spoken(ASSISTANT, _first_reply(nod))) / RATE, abs=0.01)


def _first_reply(made: Dialogue) -> str:
    start, stop = turns(made, AGENT)[0]
    return " ".join(word for channel, word, at, _ in made.words if channel == AGENT and start <= at < stop)


def test_words_lie_where_their_channel_has_sound() -> None:
    made = dialogue(5, "hibari-high", Manners(**QUIET))
    for channel, _, start, end in made.words:
        samples = (made.agent, made.user)[channel][round(start * RATE) : round(end * RATE)]
        assert np.abs(samples).max() > 0.005


def test_the_user_is_louder_noisier_and_echoes() -> None:
    plain = dialogue(2, "hibari-low", Manners(**QUIET))
    loud = [dialogue(seed, "hibari-low", Manners(noise=(0.0, 0.0), gain=(12.0, 12.0))) for seed in range(12)]
    assert sum(np.abs(one.user[:4800]).max() > 1e-3 for one in loud) in range(1, 9), "noise before anyone speaks"
    assert np.abs(plain.user[:4800]).max() < 1e-3


@pytest.mark.parametrize("pauses", [(), (0.9,), (0.6, 1.2)])
def test_a_single_turn_has_its_pauses_and_its_end(pauses: tuple[float, ...]) -> None:
    made = user_turn(7, "hibari-mid", pauses)
    assert [end - begin for begin, end in made.pauses] == pytest.approx(pauses, abs=1.1e-3) and not made.agent.any()
    for begin, end in made.pauses:
        assert not made.user[round(begin * RATE) + 30 : round(end * RATE) - 30].any()
    assert not made.user[round(made.turn_ends[0] * RATE) + 30 :].any()
    assert len(made.user) / RATE - made.turn_ends[0] == pytest.approx(3.5, abs=1e-3)


@pytest.mark.parametrize("event", ["interruptions", "backchannels"])
def test_the_user_speaks_while_an_agent_answers(event: str) -> None:
    made, (start, stop) = overlapped_turn(3, "hibari-mid", "held_out", event)
    assert start - made.turn_ends[0] == pytest.approx(0.8, abs=1e-3) and not made.agent.any()
    for at, end in ((made.turn_ends[0], start), (stop, len(made.user) / RATE)):
        assert not made.user[round(at * RATE) + 30 : round(end * RATE) - 30].any()
    assert np.abs(made.user[round(start * RATE) : round(stop * RATE)]).max() > 0.05


def test_an_interruption_and_a_backchannel_follow_the_same_turn() -> None:
    interrupted, nodded = (
        overlapped_turn(3, "hibari-mid", "held_out", one)[0] for one in ("interruptions", "backchannels")
    )
    end = round(interrupted.turn_ends[0] * RATE)
    assert np.array_equal(interrupted.user[:end], nodded.user[:end])


def test_no_text_of_the_tests_is_in_a_dialogue() -> None:
    forms = [
        {form for topic in grammar().values() for form in topic[key]} for key in ("user", "validation", "held_out")
    ]
    assert not (forms[0] & forms[1] or forms[0] & forms[2] or forms[1] & forms[2])
    assert not {TURNS[name].voices[0] for name in ("user-turns-en", "user-turns-validation-en")} & set(USERS)


def test_no_user_of_the_dialogues_has_the_size_of_one_that_tests() -> None:
    assert len(set(USERS)) >= 20
    for name in ("hibari-mid", "hibari-clear"):
        assert min(abs(VOICES[user].size - VOICES[name].size) for user in USERS) >= 0.025


def test_a_tilt_changes_the_spectrum_and_not_the_level() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    dark = tilted(noise, RATE, -3.0)
    assert np.sqrt(np.mean(dark**2)) == pytest.approx(np.sqrt(np.mean(noise**2)), rel=1e-3)
    low, high = (np.sum(np.abs(np.fft.rfft(dark)[a:b]) ** 2) for a, b in ((400, 600), (3900, 4100)))
    assert 10 * np.log10(low / high) == pytest.approx(9.0, abs=1.5), "three octaves"


def test_layouts_of_one_conversation_are_held_out_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogues, "CONVERSATIONS", 1)
    prepare(tmp_path, ("dialogues-en", "user-turns-en"), "user-turns-en", limit=6)
    rows = [json.loads(line) for line in (tmp_path / "metadata.jsonl").read_text().splitlines()]
    found = [row for row in rows if row["source"] == "dialogues-en"]
    assert len({row["id"] for row in found}) == 6 and len({row["split"] for row in found}) == 1


def grammar() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = yaml.safe_load((DATA / "dialogues.yaml").read_text("utf-8"))["topics"]
    return found


def test_prepared_dialogues_are_stereo_with_words_and_held_out_turns(tmp_path: Path) -> None:
    summary = prepare(tmp_path, ("dialogues-en", "user-turns-en"), "user-turns-en", limit=2)
    assert summary["splits"]["held-out-speaker"]["clips"] == 2
    rows = [json.loads(line) for line in (tmp_path / "metadata.jsonl").read_text().splitlines()]
    sample = datasets.load_dataset(tmp_path).samples[0]
    left, right = load_channels(tmp_path / rows[0]["file_name"], 16_000)
    agent, user = words_in(sample)
    assert agent and user and len(turns_of(user)) > 1
    assert np.abs(left.samples[: int(agent[0].start * 16_000) - 160]).max() < 1e-3
    assert len(left.samples) == len(right.samples)
    held_out = datasets.load_dataset(tmp_path / "held-out-speaker.jsonl").samples
    assert [set(one.metadata) for one in held_out] == [{"seconds", "turn_end", "pauses", "words"}] * 2
