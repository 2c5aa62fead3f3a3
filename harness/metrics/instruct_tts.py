"""InstructTTSEval: whether speech sounds as an instruction in words asks, by a judge that hears."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Value
from speech_eval.metrics.judge import prove
from speech_eval.metrics.voicebench.replies import (
    Replies,
    Style,
    asked_judge,
    asked_votes,
    judge_identity,
    recorded_replies,
)
from speech_eval.records import Sample
from speech_eval.text.files import parse_json

RATE = 16_000  # Hz of what the judge hears
KEY = "一致性"  # of the verdict in the judge's JSON
_STYLE = Style(votes=1, temperature=0.0, max_tokens=8192, system=False, board="gemini-2.5-pro")
_STRING = re.compile(r'"(?:\\.|[^"\\])*"')
_VERDICT = re.compile(rf'"{KEY}"\s*:\s*"?(true|false|yes|no|是|否|1|0)\b', re.IGNORECASE)
_YES = ("true", "yes", "是", "1")

PROMPT = """\
You hear one recording of a voice. Below is how it was asked to speak.

Instruction: {instruction}

Compare every trait that the instruction names with what you hear: sex and age, pitch, rate, loudness, clarity, fluency,
accent, timbre, tone, feeling, changes, character. A clear clash in one that matters, above all in sex or age, or one
that is far too weak, means no. The quality of the recording does not count.
Reply with one JSON object: {"reason": "…", "一致性": true}, or false.
"""


def verdict(reply: str) -> bool | None:
    """The last verdict of a reply, also as a word or digit; None where there is none."""
    found = _VERDICT.findall(reply)
    return found[-1].lower() in _YES if found else None


def original_verdict(reply: str) -> Any:
    """What the original takes from a reply: JSON in a fence, whatever it holds, else the first flat object with the
    key, else the whole reply; None without the key."""
    found = _parsed(reply)
    return found[KEY] if isinstance(found, dict) and KEY in found else None


def _parsed(reply: str) -> Any:
    fenced, closed, _ = reply.partition("```json")[2].partition("```")
    candidates = [(fenced.strip(), True)] if closed else []
    candidates += [(text, False) for text in flat_objects(reply)] + [(reply.strip(), True)]
    for text, whatever in candidates:
        try:
            found = parse_json(text)
        except ValueError:
            continue
        if whatever or KEY in found:
            return found
    return None


def flat_objects(text: str) -> Iterator[str]:
    """What the original's pattern of a flat object finds: a brace, strings and characters other than braces, and the
    closing brace. As a pattern it takes a time that doubles with every quote; here no place is tried twice."""
    tried: set[int] = set()
    start = text.find("{")
    while start >= 0:
        end = _end(text, start + 1, tried)
        if end:
            yield text[start:end]
        start = text.find("{", end or start + 1)


def _end(text: str, place: int, tried: set[int]) -> int:
    """Where the object ends that goes on at `place`; 0 where it does not end. A quote is first tried as itself, then as
    the beginning of a string."""
    waiting = [place]
    while waiting:
        place = waiting.pop()
        if place in tried or place == len(text) or text[place] == "{":
            continue
        if text[place] == "}":
            return place + 1
        tried.add(place)
        if text[place] == '"' and (string := _STRING.match(text, place)):
            waiting.append(string.end())
        waiting.append(place + 1)
    return 0


class InstructTTS(Metric):
    """Share of the recordings that a judge that hears finds to be as the instruction says.

    `strict`: missing speech and a reply without a verdict count as no. `compat`: only JSON `true` is yes;
    these are left out.
    """

    id = "instructed[instruct-tts@b7e4120]"
    description = "Share of recordings that follow an instruction in words, by a judge that hears (InstructTTSEval)"
    source = "KexinHUANG19/InstructTTSEval at b7e4120: eval/gemini_eval.py"
    needs = frozenset({"audio"})
    extra = "api"
    judged = True
    columns = frozenset({"instruction"})
    requires = (frozenset({"instruction"}),)
    summaries = (
        Summary("followed", "ratio", ("followed", "judged"), "%", "higher", 100.0),
        Summary("unparsed", "mean", ("unparsed",), "%", "lower", 100.0, headline=False),
    )

    @classmethod
    def reachable(cls) -> None:
        prove()

    def scorer(self) -> str:
        """The judge that is asked, with the digest of its prompt; empty where only recorded replies are read."""
        return judge_identity("instruct-tts", PROMPT, _STYLE)

    def score(self, item: ScoringItem) -> Value:
        """Parts: `followed`, `judged` and `unparsed`, 0 or 1."""
        replies = recorded_replies(item.sample) or self._heard(item)
        ours, theirs = verdict(replies.texts[0]), original_verdict(replies.texts[0])
        known = theirs is not None
        return Value(
            parts={"followed": float(ours is True), "judged": 1.0, "unparsed": float(ours is None)},
            compat={"followed": float(theirs is True), "judged": float(known), "unparsed": float(not known)},
            detail={"scores": list(replies.texts), "judge": replies.judge, "followed": ours},
        )

    def _heard(self, item: ScoringItem) -> Replies:
        judge, instruction = asked_judge(item.sample), str(item.sample.metadata.get("instruction") or "")
        if not instruction.strip():
            raise BadData(f"Sample {item.sample.id} has no instruction.", "Give the column `instruction`.")
        told = judge.prompt("instruct-tts", PROMPT).replace("{instruction}", instruction)
        content = [{"type": "text", "text": told}, {"type": "audio", "audio": item.audio(RATE)}]
        return Replies(tuple(asked_votes(judge, [{"role": "user", "content": content}], _STYLE)), self.scorer())

    def failure(self, sample: Sample) -> dict[str, float]:
        return {"followed": 0.0, "judged": 1.0, "unparsed": 1.0}
