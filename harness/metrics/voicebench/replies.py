"""The votes of a judge on one sample: recorded with it, or requested now and stored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speech_eval.errors import BadInput
from speech_eval.metrics import judge as judges
from speech_eval.metrics.base import ScoringItem, Unscorable
from speech_eval.metrics.voicebench.records import question, response
from speech_eval.records import Sample

RECORDED = ("scores", "score", "judge_response")  # fields of a record that hold a judge's replies
# The digests of the benchmarks' prompts: of VoiceBench's api_judge.py, and of AIR-Bench's score_chat.py with the slots
# of this project in place of its own.
_OFFICIAL = {
    "voicebench-open": "fddd4cf5",
    "voicebench-qa": "b89c3ec5",
    "voicebench-system": "7dfaae7e",
    "air-bench-chat": "97e59e50",
}
_LARGEST = 1e9  # of a number in a reply that a mean is taken of
SYSTEM = "You are a careful and impartial judge of answers."


def bounded(number: float) -> float | None:
    """A number that a reply states; None for one so large that its mean would not be finite."""
    return number if abs(number) <= _LARGEST else None


@dataclass(frozen=True)
class Style:
    """How a judge is asked; the defaults are VoiceBench's. `system`: with a system message. `board` is the judge of the
    published figures."""

    votes: int = 3
    temperature: float = 0.5
    max_tokens: int = 1024
    system: bool = True
    board: str = "gpt-4o-mini"


@dataclass(frozen=True)
class Replies:
    """The replies of a judge, verbatim, and the judge's identity."""

    texts: tuple[str, ...]
    judge: str


def judge_identity(name: str, prompt: str, style: Style = Style()) -> str:
    """The judge that is set and the digest of its prompt; empty where none is set."""
    judge = judges.configured()
    if judge is None:
        return ""
    told = not style.system or judges.digest(_system(judge)) == _OFFICIAL["voicebench-system"]
    official = (style.board, _OFFICIAL[name]) if told and name in _OFFICIAL else None
    return judge.identity(judge.prompt(name, prompt), official)


def _system(judge: judges.Judge) -> str:
    return judge.prompt("voicebench-system", SYSTEM, optional=True).strip()


def judge_replies(
    item: ScoringItem, name: str, prompt: str, style: Style = Style(), orders: Sequence[Mapping[str, str]] = ({},)
) -> Replies:
    """The record's `scores` (`score` or `judge_response` in the originals' files), else the votes of the judge.

    The slots of the prompt are `{prompt}`, `{response}` and `{reference}`, and those of each of the `orders` in which
    the judge is asked, whose votes follow each other.

    Raises `BadInput` without either, `Unscorable` without an answer to judge, or for an empty list of votes.
    """
    sample = item.sample
    if (recorded := recorded_replies(sample)) is not None:
        return recorded
    if item.hypothesis is None and item.output.status != "empty":
        raise Unscorable(f"Sample {sample.id} has no answer.", "Name a recognizer for speech answers.")
    judge = asked_judge(sample)
    template = judge.prompt(name, prompt)
    told = [{"role": "system", "content": _system(judge)}] if style.system else []
    asked = list[str]()
    for order in orders:
        slots = {"prompt": question(sample), "response": response(item), "reference": sample.text or "", **order}
        text = re.sub(rf"\{{({'|'.join(slots)})\}}", lambda match: slots[match[1]], template)  # noqa: B023 - used now
        asked += asked_votes(judge, [*told, {"role": "user", "content": text}], style)
    return Replies(tuple(asked), judge_identity(name, prompt, style))


def asked_votes(judge: judges.Judge, messages: list[dict[str, Any]], style: Style) -> list[str]:
    """The replies of a judge to one conversation, without the space around them."""
    asked = judge.ask(
        messages, votes=style.votes, temperature=style.temperature, top_p=0.95, max_tokens=style.max_tokens
    )
    return [reply.strip() for reply in asked]


def recorded_replies(sample: Sample) -> Replies | None:
    """The replies that come with a record; None without them. Raises `Unscorable` for an empty list."""
    recorded = next((sample.metadata[key] for key in RECORDED if sample.metadata.get(key) is not None), None)
    if recorded == []:
        raise Unscorable(f"Sample {sample.id} has no votes.", "Ask the judge again.")
    return None if recorded is None else Replies(_recorded(sample.id, recorded), "recorded")


def asked_judge(sample: Sample) -> judges.Judge:
    """The judge to ask about a sample without recorded replies. Raises `BadInput` where none is set."""
    judge = judges.configured()
    if judge is None:
        raise BadInput(
            f"Sample {sample.id} has no `scores`, and no judge is set.",
            "Give the record the judge's replies as `scores`, or give --judge openai:URL#MODEL.",
        )
    return judge


def _recorded(sample_id: str, recorded: object) -> tuple[str, ...]:
    votes = recorded if isinstance(recorded, list) else [recorded]
    if not votes or not all(isinstance(vote, str | int | float) and not isinstance(vote, bool) for vote in votes):
        raise BadInput(f"Sample {sample_id}: `scores` is not a list of replies.", 'Write "scores": ["4", "5", "4"].')
    return tuple(str(vote) for vote in votes)
