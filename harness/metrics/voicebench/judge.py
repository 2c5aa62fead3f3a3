"""AlpacaEval, CommonEval and WildVoice: the mean rating of a judge from 1 to 5."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from speech_eval.metrics.base import Metric, ScoringItem, Summary, Value
from speech_eval.metrics.judge import prove
from speech_eval.metrics.voicebench.records import SOURCE
from speech_eval.metrics.voicebench.replies import Replies, judge_identity, judge_replies
from speech_eval.records import Sample

LEAST, MOST = 1.0, 5.0
_BRACKETED_INTEGER = re.compile(r"\[\[(\d+)\]\]")
_RATING = re.compile(r"(\[\[)?([1-5](?:\.[0-9]+)?)(?(1)\]\])")

PROMPT = """\
A user spoke to a voice assistant. Below are what the user said and what the assistant answered, both as text.
Rate the answer with one number from 1 to 5:
1 - it misses the point or is wrong;
2 - it has to do with the question, yet is inaccurate, incomplete, or mostly beside it;
3 - it is relevant and mostly right, but wordy or padded with what nobody asked for;
4 - it is relevant, right and short, and answers clearly;
5 - it is all of that, and exactly what the user needed, said in the best way.

User: {prompt}
Assistant: {response}

Reply with the number alone.
"""


def original_rating(reply: str) -> float:
    """The number the original reads: anything `float` takes, else the whole number in `[[ ]]`.

    Raises `ValueError` where the reply has neither, which ends the original's scoring.
    """
    try:
        return float(reply)
    except ValueError:
        match = _BRACKETED_INTEGER.search(reply)
        if match is None:
            raise
        return float(int(match[1]))


def rating(reply: str) -> float | None:
    """A reply that is one number from 1 to 5 in ASCII digits, in `[[ ]]` or bare; None for any other."""
    match = _RATING.fullmatch(reply.strip())
    value = float(match[2]) if match else None
    return value if value is not None and value <= MOST else None


def _mean(columns: dict[str, NDArray[np.float64]], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of ratings over number of votes; undefined where the original ended without a number."""
    means = (weights @ columns["rating"]) / (weights @ columns["votes"])
    return np.where(weights @ columns["undefined"] > 0, np.nan, means)


class Judge(Metric):
    """Mean rating over samples, each rated by the votes of a judge.

    The votes are the record's `scores`, or those of the judge (`--judge`). `strict`: a sample with a vote
    that is not a number from 1 to 5 counts 1. `compat`: the mean over all votes, of any range; one unreadable vote ends
    the original's scoring, so the number is then undefined.
    """

    id = "judge[voicebench]"
    description = "Mean rating 1-5 of an LLM judge, three votes per sample (AlpacaEval, CommonEval, WildVoice)"
    source = f"{SOURCE}: src/evaluator/open.py, api_judge.py"
    extra = "api"
    judged = True
    columns = frozenset({"prompt"})
    summaries = (
        Summary("score", "function", ("rating", "votes", "undefined"), "", "higher", function=_mean),
        Summary("unparsed", "mean", ("unparsed",), "%", "lower", 100.0, headline=False),
    )

    @classmethod
    def reachable(cls) -> None:
        prove()

    def scorer(self) -> str:
        """The judge that is asked, with the digest of its prompt; empty where only recorded votes are read."""
        return judge_identity("voicebench-open", PROMPT)

    def score(self, item: ScoringItem) -> Value:
        """Parts: `rating` over `votes` (1, or as many as there are in `compat`), `unparsed`, `undefined`."""
        replies = judge_replies(item, "voicebench-open", PROMPT)
        read = [rating(reply) for reply in replies.texts]
        known = [value for value in read if value is not None]
        whole = len(known) == len(read)
        mean = sum(known) / len(known) if whole else LEAST
        return Value(
            parts={"rating": mean, "votes": 1.0, "unparsed": float(not whole), "undefined": 0.0},
            compat=_original_parts(replies),
            detail={"scores": list(replies.texts), "ratings": read, "judge": replies.judge},
        )

    def failure(self, sample: Sample) -> dict[str, float]:
        return {"rating": LEAST, "votes": 1.0, "unparsed": 1.0, "undefined": 0.0}


def _original_parts(replies: Replies) -> dict[str, float]:
    try:
        values = [original_rating(reply) for reply in replies.texts]
    except ValueError:
        values = [float("nan")]
    defined = bool(np.isfinite(values).all())
    return {
        "rating": sum(values) if defined else 0.0,
        "votes": float(len(replies.texts)),
        "unparsed": float(not defined),
        "undefined": float(not defined),
    }
