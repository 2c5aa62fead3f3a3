"""EmergentTTS-Eval: how often a judge that hears prefers the speech to that of a baseline voice."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from speech_eval.audio import Audio
from speech_eval.errors import require
from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Value
from speech_eval.metrics.judge import digest, prove
from speech_eval.metrics.voicebench.replies import (
    Replies,
    Style,
    asked_judge,
    asked_votes,
    judge_identity,
    recorded_replies,
)
from speech_eval.records import Sample

RATE = 16_000  # Hz of what the judge hears
EXTRA = "api"
_STYLE = Style(votes=1, temperature=0.0, max_tokens=16_384, system=False, board="gemini-2.5-pro")
_KEYS = ("reasoning_system_1", "reasoning_system_2", "system_comparison", "score_1", "score_2", "winner")
_WINNER = re.compile(r'"winner"\s*:\s*"?([012])(?:\.0)?"?\s*[,}]')

# What a voice is judged by, for each category of the texts.
CRITERIA = {
    "Emotions": "Does it speak each part in the feeling that the text calls for, and move between feelings?",
    "Paralinguistics": "Does it voice interjections, sounds, stress and hesitations of the text as people do?",
    "Syntactic Complexity": "Do pauses, phrasing and tune make the structure of the sentences clear?",
    "Foreign Words": "Does it say words of other languages as their speakers do, and return smoothly?",
    "Questions": "Does the tune fit each question and each statement?",
    "Pronunciation": "Does it say numbers, symbols, addresses, acronyms and rare words right, all of them?",
}
PROMPT = """\
Two systems read the same text aloud. You will hear the first, then the second.

Text: {text}
Category: {category}
What counts: {criterion}

Score each from 1 (poor) to 3 (excellent) by what counts alone, 0 for speech that is broken. Voice, accent, loudness and
order must not count. If both do equally well, choose the one that is better in small things; call it a tie only where
there is no difference. Reply with one JSON object with these keys: reasoning_system_1, reasoning_system_2,
system_comparison, score_1, score_2, and winner, which is 1, 2, or 0 for a tie.
"""


def model_is_second(row: int) -> bool:
    """Whether the model's speech is played second; the baseline's is then first. The same for every system."""
    return bool(np.random.default_rng(row).random() > 0.5)


def winner(reply: str) -> int | None:
    """The last `winner` of a reply, 0 to 2; None where there is none."""
    found = _WINNER.findall(reply)
    return int(found[-1]) if found else None


def original_winner(reply: str) -> Any:
    """The winner of a reply as the original has it: JSON, repaired, with all six keys; None for another."""
    try:
        read = require("json_repair", EXTRA, "json-repair").loads(reply)
    except (RecursionError, ValueError):  # nested too deeply, or with a number of thousands of digits
        return None
    whole = isinstance(read, dict) and all(key in read for key in _KEYS)
    return read["winner"] if whole and read["winner"] in (0, 1, 2) else None


class EmergentTTS(Metric):
    """Mean of 1 for a win over the baseline's recording, 0.5 for a tie and 0 for a loss.

    The judge hears both at 16 kHz; which is first follows from the number of the row. `strict`: speech that is not
    there, or a reply without a winner, is a loss. `compat`: these are left out.
    """

    id = "win-rate[emergent-tts@5764ace]"
    description = "Share of comparisons with a baseline voice that a judge that hears gives to the model (EmergentTTS)"
    source = "boson-ai/EmergentTTS-Eval-public at 5764ace: inference.py, prompts.py"
    needs = frozenset({"audio", "reference", "text"})
    extra = EXTRA
    judged = True
    columns = frozenset({"category", "evolution_depth", "row"})
    requires = (frozenset({"category"}),)
    summaries = (
        Summary("win rate", "ratio", ("won", "compared"), "%", "higher", 100.0),
        Summary("ties", "ratio", ("tied", "compared"), "%", "higher", 100.0, headline=False),
        Summary("unparsed", "mean", ("unparsed",), "%", "lower", 100.0, headline=False),
    )

    @classmethod
    def ready(cls) -> None:
        require("json_repair", EXTRA, "json-repair")

    @classmethod
    def reachable(cls) -> None:
        prove()

    def scorer(self) -> str:
        """The judge that is asked, with the digest of its prompt; empty where only recorded replies are read."""
        return judge_identity("emergent-tts", PROMPT, _STYLE)

    def score(self, item: ScoringItem) -> Value:
        """Parts: `won` (0, 0.5, 1), `tied`, `compared` and `unparsed`, 0 or 1."""
        own = 2 if model_is_second(_row(item.sample)) else 1
        replies = recorded_replies(item.sample) or self._heard(item, own)
        ours, theirs = winner(replies.texts[0]), original_winner(replies.texts[0])
        return Value(
            parts=_parts(ours, own),
            compat={**_parts(None if theirs is None else int(theirs), own), "compared": float(theirs is not None)},
            detail={"scores": list(replies.texts), "judge": replies.judge, "winner": ours, "model": own},
        )

    def _heard(self, item: ScoringItem, own: int) -> Replies:
        """The reply of the judge to both recordings."""
        judge, category = asked_judge(item.sample), str(item.sample.metadata.get("category"))
        if category not in CRITERIA:
            raise BadData(f"Sample {item.sample.id}: there is no category '{category}'.", "Correct its `category`.")
        slots = {"text": item.sample.text or "", "category": category, "criterion": CRITERIA[category]}
        template = judge.prompt("emergent-tts", PROMPT)
        told = re.sub(r"\{(text|category|criterion)\}", lambda match: slots[match[1]], template)
        sounds = [item.audio(RATE), item.reference(RATE)]
        content = [_said(told), *_system(1, sounds[own - 1]), *_system(2, sounds[2 - own])]
        return Replies(tuple(asked_votes(judge, [{"role": "user", "content": content}], _STYLE)), self.scorer())

    def failure(self, sample: Sample) -> dict[str, float]:
        return _parts(None, 1)


def _said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _system(number: int, audio: Audio) -> list[dict[str, Any]]:
    return [_said(f"System {number}:"), {"type": "audio", "audio": audio}]


def _parts(found: int | None, own: int) -> dict[str, float]:
    won = 0.5 if found == 0 else float(found == own)
    return {"won": won, "tied": float(found == 0), "compared": 1.0, "unparsed": float(found is None)}


def _row(sample: Sample) -> int:
    """The number of the row in the data, counted from 0."""
    row = sample.metadata.get("row", sample.id)
    try:
        return int(row)
    except (TypeError, ValueError):
        return int(digest(sample.id), 16)  # data of one's own has no such number
