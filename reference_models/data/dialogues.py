"""Simulated two-channel dialogues: a user who pauses, interrupts and nods, and an assistant with one voice.

Texts come from a grammar (dialogues.yaml), speech from hibari. Each stretch between two pauses is synthesized on its
own, so its times are exact; inside it each word takes its letters' share. The assistant begins on whole frames of
80 ms, because a duplex model can begin nowhere else.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import yaml

from speech_eval.audio import Audio, Samples
from speech_eval.reference_models.data.voices import ASSISTANT, CROWD, say

DIALOGUES = "dialogues-en"
USERS = ("hibari-low", "hibari-high", "hibari-deep", "hibari-light", "hibari-even", "hibari-bright", *CROWD)
COLUMNS = ("turn_end", "pauses", "words", "event")
FRAME = 0.08
RATE = 24_000
_AGENT, _USER = 0, 1
_TAIL = 3.5  # seconds of silence in which an agent may answer a single turn
_PAUSES = (0.3, 0.6, 0.9, 1.2)  # seconds, in turn; a turn has none, one or two, so they cannot be counted
_EVENT = 0.8  # seconds after a turn: an agent that answers within a third of a second has begun

Word = tuple[int, str, float, float]  # channel, text, start, end


@dataclass(frozen=True)
class Turns:
    """Single user turns: their voices, the key of their forms of request in the grammar, the seed of the first, and
    what the user says `_EVENT` seconds after the turn, if anything: a key of the grammar."""

    voices: tuple[str, ...]
    forms: str
    seed: int
    event: str | None = None


TURNS = {
    "user-turns-en": Turns(("hibari-mid",), "held_out", 1_000_000),
    "user-turns-known-en": Turns(USERS, "user", 2_000_000),
    "user-turns-validation-en": Turns(("hibari-clear",), "validation", 3_000_000),
    "interruptions-en": Turns(("hibari-mid",), "held_out", 4_000_000, "interruptions"),
    "backchannels-en": Turns(("hibari-mid",), "held_out", 4_000_000, "backchannels"),
}
SOURCES = (DIALOGUES, *TURNS)
CONVERSATIONS = 10000  # more dialogues than that are the same conversations, laid out in time anew
_MOST_DIALOGUES, _MOST_TURNS = 240, 400  # without a limit: about an hour of either; turns never are more


@dataclass(frozen=True)
class Manners:
    """How people talk: shares are of the places where it may happen, pairs the ends of a uniform distribution in
    seconds unless said otherwise."""

    exchanges: tuple[int, int] = (2, 3)
    pause_share: float = 0.4
    pause: tuple[float, float] = (0.3, 1.3)
    answer_after: tuple[float, float] = (0.2, 0.04)  # mean and standard deviation of a normal distribution
    late_share: float = 0.12  # of the answers, as if the end had been missed:
    late_after: tuple[float, float] = (1.5, 0.04)  # longer than any pause, so the turn is over
    user_after: tuple[float, float] = (0.4, 1.2)
    overlap_share: float = 0.1  # the user begins before the assistant has ended
    overlap: tuple[float, float] = (0.1, 0.4)
    backchannel_share: float = 0.3
    backchannel_at: tuple[float, float] = (0.05, 0.8)  # of the answer
    interruption_share: float = 0.35
    interruption_at: tuple[float, float] = (0.05, 0.75)  # of the answer
    marked_share: float = 0.7  # of the interruptions begin with “wait” or the like, the others with the request
    stops_after: float = 0.48  # of an interruption: by then it is not a backchannel
    gain: tuple[float, float] = (-24.0, 15.0)  # dB, of half of the user channels
    noise: tuple[float, float] = (-30.0, 6.0)  # dB against the user, of three in ten
    echo: tuple[float, float] = (0.0, 0.2)  # of the assistant in the user channel, in three of ten


@dataclass
class Dialogue:
    """Two channels at 24 kHz and the words on them. `turn_ends` are those of the user, `pauses` those inside turns."""

    agent: Samples
    user: Samples
    words: list[Word]
    turn_ends: list[float] = field(default_factory=list)
    pauses: list[tuple[float, float]] = field(default_factory=list)


def dialogue(seed: int, voice: str, manners: Manners = Manners(), layout: int = 0) -> Dialogue:
    """A dialogue with a user of this voice, the same for the same seed and layout. `seed` draws what is asked and
    answered, `layout` the pauses, interruptions and nods."""
    draw = random.Random(seed)
    scene, at, start = _Scene(random.Random(f"{seed} {layout}"), voice, manners), 0.4, ""
    for _ in range(draw.randint(*manners.exchanges)):
        topic = draw.choice(list(_grammar()["topics"].values()))
        end = scene.user_turn(start + _expand(draw.choice(topic["user"]), draw), at)
        at, start = scene.answer(draw.choice(topic["agent"]), end)
    made = scene.mixed(scene.last + 1.0)
    made.user = _heard(made.user, made.agent, np.random.default_rng((seed, layout)), manners)
    return made


def user_turn(seed: int, voice: str, pauses: Sequence[float], forms: str = "held_out") -> Dialogue:
    """One user turn with pauses of these lengths inside and silence after it. `forms` of request: those of the
    dialogues (`user`), or some that no dialogue has (`held_out`, `validation`); one is drawn that has so many places to
    pause at."""
    draw = random.Random(seed)
    scene = _Scene(draw, voice, Manners())
    fitting = [
        form for topic in _grammar()["topics"].values() for form in topic[forms] if form.count("|") >= len(pauses)
    ]
    parts = _expand(draw.choice(fitting), draw).split("|")
    cuts = [0, *sorted(draw.sample(range(1, len(parts)), len(pauses))), len(parts)]
    end = scene.place([" ".join(parts[a:b]) for a, b in pairwise(cuts)], list(pauses), 0.2)
    return scene.mixed(end + _TAIL)


def overlapped_turn(seed: int, voice: str, forms: str, event: str) -> tuple[Dialogue, tuple[float, float]]:
    """One user turn without a pause, and while an agent answers it, what is drawn from the list `event` of the grammar;
    an interruption goes on with a request. Returns also when that begins and ends. The same seed gives the same turn
    for every event."""
    draw = random.Random(seed)
    scene = _Scene(draw, voice, Manners())
    topic = draw.choice(list(_grammar()["topics"].values()))
    end = scene.place([_expand(draw.choice(topic[forms]), draw).replace("|", "")], [], 0.2)
    more = _expand(draw.choice(topic[forms]), draw).replace("|", "") if event == "interruptions" else ""
    at = end + _EVENT
    stop = scene.say(_USER, voice, draw.choice(_grammar()[event]) + more, at)
    return scene.mixed(stop + _TAIL), (round(at, 3), round(stop, 3))


class _Scene:
    """What has been said so far, and when."""

    def __init__(self, draw: random.Random, voice: str, manners: Manners) -> None:
        self.draw, self.voice, self.manners = draw, voice, manners
        self.pieces: list[tuple[int, Samples, float]] = []  # channel, samples, start
        self.made = Dialogue(np.zeros(0, np.float32), np.zeros(0, np.float32), [])
        self.last = 0.0

    def user_turn(self, text: str, at: float) -> float:
        """Say a text, pausing at some of its |; returns when it ends."""
        parts, pauses = [""], list[float]()
        for part in text.split("|"):
            if parts[-1] and self.draw.random() < self.manners.pause_share:
                pauses.append(self.draw.uniform(*self.manners.pause))
                parts.append("")
            parts[-1] += part
        return self.place(parts, pauses, at)

    def place(self, parts: list[str], pauses: list[float], at: float) -> float:
        for number, part in enumerate(parts):
            closed = part.strip() if number + 1 == len(parts) else part.strip() + ","
            at = self.say(_USER, self.voice, closed, at)
            if number < len(pauses):
                self.made.pauses.append((round(at, 3), round(at + pauses[number], 3)))
                at += pauses[number]
        self.made.turn_ends.append(round(at, 3))
        return at

    def answer(self, text: str, end: float) -> tuple[float, str]:
        """Let the assistant answer a turn that ends at `end`; returns when the user begins again, and with what."""
        draw, manners = self.draw, self.manners
        after = manners.late_after if draw.random() < manners.late_share else manners.answer_after
        first = round((end + max(0.0, draw.gauss(*after))) / FRAME) * FRAME
        first += FRAME * (first < end)
        seconds = len(spoken(ASSISTANT, text)) / RATE
        if draw.random() < manners.interruption_share:
            at = first + seconds * draw.uniform(*manners.interruption_at)
            self.say(_AGENT, ASSISTANT, text, first, until=round((at + manners.stops_after) / FRAME) * FRAME)
            return at, draw.choice(_grammar()["interruptions"]) if draw.random() < manners.marked_share else ""
        last = self.say(_AGENT, ASSISTANT, text, first)
        if draw.random() < manners.backchannel_share:
            nod = draw.choice(_grammar()["backchannels"])
            self.say(_USER, self.voice, nod, first + seconds * draw.uniform(*manners.backchannel_at))
        if draw.random() < manners.overlap_share:
            return last - draw.uniform(*manners.overlap), ""
        return last + draw.uniform(*manners.user_after), ""

    def say(self, channel: int, voice: str, text: str, at: float, until: float | None = None) -> float:
        """Lay a text on a channel, cut off at `until`; returns when it ends."""
        samples = spoken(voice, text)
        end = at + len(samples) / RATE
        lengths = np.array([len(word) + 1 for word in text.split()], dtype=np.float64)
        edges = at + (end - at) * np.concatenate([[0.0], lengths.cumsum() / lengths.sum()])
        if until is not None and until < end:
            samples, end = _cut(samples, round((until - at) * RATE)), until
        for word, begin, stop in zip(text.split(), edges[:-1], edges[1:], strict=True):
            if begin < end:
                self.made.words.append((channel, word, round(float(begin), 3), round(min(float(stop), end), 3)))
        self.pieces.append((channel, samples, at))
        self.last = max(self.last, end)
        return end

    def mixed(self, seconds: float) -> Dialogue:
        """The channels, so many seconds long."""
        channels = np.zeros((2, round(seconds * RATE)), dtype=np.float32)
        for channel, samples, at in self.pieces:
            first = round(at * RATE)
            channels[channel, first : first + len(samples)] += samples
        self.made.agent, self.made.user = channels
        self.made.words.sort(key=lambda word: word[2])
        return self.made


def number(source: str, limit: int | None) -> int:
    """How many recordings a source gives."""
    most = _MOST_DIALOGUES if source == DIALOGUES else _MOST_TURNS
    return most if limit is None else limit if source == DIALOGUES else min(limit, most)


def recordings(source: str, count: int) -> Iterator[tuple[str, Audio, Audio | None, str, str, Mapping[str, Any]]]:
    """Of each recording of a source: key, left channel (the assistant's, or the user's of a single turn), right
    channel, speaker, text, and columns of its own, some of `COLUMNS`."""
    for number in range(count):
        if source == DIALOGUES:
            layout, seed = divmod(number, CONVERSATIONS)
            voice = USERS[seed % len(USERS)]
            made = dialogue(seed, voice, layout=layout)
            left, right = Audio(made.agent, RATE), Audio(made.user, RATE)
            columns: dict[str, Any] = {"words": [list(word) for word in made.words]}
            text = " ".join(word for channel, word, _, _ in made.words if channel == _AGENT)
            yield f"dialogue-{number:05d}", left, right, f"{ASSISTANT} and {voice}", text, columns
        else:
            turns = TURNS[source]
            voice = turns.voices[number // 4 % len(turns.voices)]
            if turns.event is None:
                pauses = [_PAUSES[(number + extra) % len(_PAUSES)] for extra in range(number % 3)]
                made = user_turn(turns.seed + number, voice, pauses, turns.forms)
                columns = {"pauses": [list(pause) for pause in made.pauses]}
            else:
                made, event = overlapped_turn(turns.seed + number, voice, turns.forms, turns.event)
                columns = {"event": list(event)}
            columns |= {"turn_end": made.turn_ends[0], "words": [list(word) for word in made.words]}
            text = " ".join(word for _, word, _, _ in made.words)
            yield f"turn-{number:05d}", Audio(made.user, RATE), None, voice, text, columns


@lru_cache(maxsize=4096)  # half a gigabyte
def spoken(voice: str, text: str) -> Samples:
    """A text in a voice, from the onset of its sound to the end; the same whenever it is said."""
    samples = say(voice, text, seed=crc32(text.encode())).samples
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def _heard(user: Samples, agent: Samples, draw: np.random.Generator, manners: Manners) -> Samples:
    """The user's channel as a microphone gives it."""
    level = float(np.sqrt(np.mean(user[user != 0.0] ** 2)))
    if draw.random() < 0.3:
        user = user + np.float32(draw.uniform(*manners.echo)) * np.roll(agent, round(0.05 * RATE))
    if draw.random() < 0.3:
        loudness = level * 10 ** (draw.uniform(*manners.noise) / 20)
        user = user + loudness * draw.standard_normal(len(user)).astype(np.float32)
    if draw.random() < 0.5:
        user = user * np.float32(10 ** (draw.uniform(*manners.gain) / 20))
    return np.clip(user, -1.0, 1.0).astype(np.float32)


def _cut(samples: Samples, length: int) -> Samples:
    """The first samples, faded out over 20 ms."""
    kept = samples[:length].copy()
    fade = min(len(kept), round(0.02 * RATE))
    kept[len(kept) - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return kept


def _expand(text: str, draw: random.Random) -> str:
    words = _grammar()["words"]
    return re.sub(r"\{(\w+)\}", lambda name: str(draw.choice(words[name[1]])), text)


@cache
def _grammar() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "dialogues.yaml").read_text("utf-8"))
    return found
