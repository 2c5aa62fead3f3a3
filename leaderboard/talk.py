"""A conversation drawn: the user's channel above the agent's, their words, and what the agent does about turns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from speech_eval.audio import Audio
from speech_eval.metrics.dialogue.overlap import stop_intervals
from speech_eval.records import Output, Sample, Score
from speech_eval.signal.level import speech_spans

_STEPS = 30  # points of a drawn waveform per second
_FAINT = 0.02  # of full scale; a channel that stays below is drawn small
_LONGEST = 120.0  # seconds that are drawn
_MOST_WORDS = 400  # per channel
Span = tuple[float, float]


@dataclass(frozen=True)
class Lane:
    """A channel: its waveform as an SVG path from y 0 to 100 and x 0 to 1000, its spans of speech as (start, width) and
    its words as (start, text); starts and widths in percent of the drawing."""

    name: str
    path: str
    spans: list[tuple[float, float]]
    words: list[tuple[float, str]]


@dataclass(frozen=True)
class Talk:
    """`pauses` and `overlaps` are (start, width), `turn_end` and `ticks` places, in percent of the drawing. `summary`
    says the drawing in a sentence, `events` are its (time, speaker, text) in order."""

    seconds: float
    lanes: list[Lane]
    pauses: list[tuple[float, float]]
    overlaps: list[tuple[float, float]]
    turn_end: float | None
    decision: tuple[float, str, str] | None  # place, kind (clean, cut, missed), text
    ticks: list[tuple[float, str]]
    summary: str
    events: list[tuple[str, str, str]]


def talk(sample: Sample, output: Output, scores: Sequence[Score], user: Audio, agent: Audio) -> Talk:
    """The drawing of a conversation whose channels are `user` and `agent`."""
    seconds = min(max(user.seconds, agent.seconds), _LONGEST)
    found = next((spans for score in scores if (spans := _spans(score.detail.get("segments")))), None)
    spoken = [speech_spans(user), speech_spans(agent) if found is None else found]
    words = [_words(sample.metadata), _words(output.metadata)]
    pauses, overlaps = _spans(sample.metadata.get("pauses")), stop_intervals(*spoken)
    turn_end = float(end) if (end := sample.metadata.get("turn_end")) is not None and _is_time(end) else None
    decision = _decision(scores, spoken[1], turn_end)

    def at(time: float) -> float:
        return round(100 * min(max(time, 0.0), seconds) / seconds, 3) if seconds else 0.0

    def placed(spans: Sequence[Span]) -> list[tuple[float, float]]:
        return [(at(start), round(at(end) - at(start), 3)) for start, end in spans]

    lanes = [
        Lane(name, _path(audio, seconds), placed(spans), [(at(start), word) for word, start in said])
        for name, audio, spans, said in zip(("User", "Agent"), (user, agent), spoken, words, strict=True)
    ]
    events = sorted(
        [
            *((span[0], name, _said(span, said)) for lane, name in enumerate(("User", "Agent"))
              for said in [words[lane]] for span in spoken[lane]),
            *((start, "User", f"pauses for {end - start:.1f} s") for start, end in pauses),
            *((start, "Both", f"speak at once for {end - start:.1f} s") for start, end in overlaps),
            *([(turn_end, "User", "the turn ends")] if turn_end is not None else []),
            *([(decision[0], "Agent", decision[2])] if decision else []),
        ]
    )  # fmt: skip
    summary = "; ".join(f"{who} {text} at {time:.1f} s" for time, who, text in events if not text.startswith("speaks"))
    return Talk(
        seconds=seconds,
        lanes=lanes,
        pauses=placed(pauses),
        overlaps=placed(overlaps),
        turn_end=None if turn_end is None else at(turn_end),
        decision=decision and (at(decision[0]), *decision[1:]),
        ticks=[(at(second), f"{second} s") for second in range(0, int(seconds) + 1, max(1, round(seconds / 12)))],
        summary=summary or "no turn, no overlap",
        events=[(f"{time:.2f} s", who, text) for time, who, text in events],
    )


def _decision(scores: Sequence[Score], agent: Sequence[Span], turn_end: float | None) -> tuple[float, str, str] | None:
    """Time, kind and text of what the agent did about the turn, as a metric of turn taking scored it."""
    parts = next((score.parts for score in scores if {"cut_off", "turn", "clean", "latency"} <= set(score.parts)), None)
    if parts is None or turn_end is None:
        return None
    if parts["cut_off"]:
        first = min((start for start, _ in agent), default=turn_end)
        return first, "cut", f"cuts in {max(turn_end - first, 0.0):.2f} s before the turn ends"
    if parts["clean"]:
        return turn_end + parts["latency"], "clean", f"takes the turn {parts['latency']:.2f} s after its end"
    return turn_end, "missed", "does not take the turn"


def _said(span: Span, words: Sequence[tuple[str, float]]) -> str:
    """What is said in a span, with words that begin up to a fifth of a second before it."""
    inside = " ".join(word for word, start in words if span[0] - 0.2 <= start < span[1])
    return f"speaks until {span[1]:.2f} s" + (f": “{inside}”" if inside else "")


def _path(audio: Audio, seconds: float) -> str:
    """The envelope of a waveform, mirrored; the loudest point touches the edge unless it is hardly audible."""
    count = max(1, round(seconds * _STEPS))
    whole = np.zeros(count, dtype=np.float64)
    for index, part in enumerate(np.array_split(np.abs(audio.samples[: round(seconds * audio.rate)]), count)):
        whole[index] = part.max(initial=0.0)
    shown = len(audio.samples) / audio.rate / seconds if seconds else 1.0
    levels = 48 * whole / max(float(whole.max()), _FAINT)
    x = np.linspace(0, 1000 * min(shown, 1.0), count)
    upper = [f"{a:.0f} {50 - b:.0f}" for a, b in zip(x, levels, strict=True)]
    lower = [f"{a:.0f} {50 + b:.0f}" for a, b in zip(x[::-1], levels[::-1], strict=True)]
    return "M" + "L".join(upper + lower) + "Z"


def _words(metadata: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Words or turns with their starts: rows [channel, text, start, end], those of channel 1 being the user's, in a
    sample; [text, start] in an output. A row that is neither is left out."""
    return sorted(_rows(metadata), key=lambda row: row[1])[:_MOST_WORDS]


def _rows(metadata: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    rows = metadata.get("words", metadata.get("turns"))
    for row in rows if isinstance(rows, list) else []:
        match row:
            case [1, str(text), (int() | float()) as start, _] | [str(text), (int() | float()) as start]:
                if _is_time(start):
                    yield text[:60], float(start)


def _spans(rows: Any) -> list[Span]:
    """The pairs of times in a list; anything else is left out."""
    pairs = [row for row in rows if isinstance(row, list) and len(row) == 2] if isinstance(rows, list) else []
    return [(float(start), float(end)) for start, end in pairs if _is_time(start) and _is_time(end) and start <= end]


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
