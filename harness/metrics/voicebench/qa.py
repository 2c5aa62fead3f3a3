"""SD-QA: whether an answer agrees with a reference, by a judge's votes and by the classifier PEDANT."""

from __future__ import annotations

import importlib.util
import re
from functools import cached_property
from typing import Any

from speech_eval.errors import MissingExtra, NotFetched, require
from speech_eval.metrics.base import Metric, ScoringItem, Summary, Value
from speech_eval.metrics.judge import prove
from speech_eval.metrics.voicebench.records import SOURCE, question, reference, response
from speech_eval.metrics.voicebench.replies import judge_identity, judge_replies
from speech_eval.records import Sample

PROMPT = """\
Question: {prompt}
Right answer: {reference}
Answer given: {response}

Judged by the right answer, is the answer given correct? Reply with Yes or No and nothing else.
"""


def original_majority(votes: tuple[str, ...]) -> float:
    """The chance that the original counts the votes as a yes; it compares them verbatim in lower case.

    Among equally frequent replies it takes the first of a Python set, whose order changes from run to run.
    """
    lower = [vote.lower() for vote in votes]
    most = max(lower.count(vote) for vote in lower)
    tied = {vote for vote in lower if lower.count(vote) == most}
    return float("yes" in tied) / len(tied)


def is_yes(vote: str) -> bool | None:
    """True for yes, False for no, in any case and with punctuation around; None for anything else."""
    return {"yes": True, "no": False}.get(re.sub(r"[\W_]+", " ", vote).strip().lower())


class QA(Metric):
    """Share of answers that most of a judge's votes call right. A vote that is neither yes nor no counts against.

    The votes are the record's `scores`, or those of the judge (`--judge`). VoiceBench's SD-QA is the mean
    of this number and `pedant[voicebench]`.
    """

    id = "qa[voicebench]"
    description = "Share of answers that the majority of a judge's votes calls right (SD-QA, without PEDANT)"
    source = f"{SOURCE}: src/evaluator/qa.py, api_judge.py"
    extra = "api"
    judged = True
    columns = frozenset({"prompt"})
    summaries = (
        Summary("gpt", "mean", ("correct",), "%", "higher", 100.0),
        Summary("unparsed-votes", "ratio", ("unparsed", "votes"), "%", "lower", 100.0, headline=False),
    )

    @classmethod
    def reachable(cls) -> None:
        prove()

    def scorer(self) -> str:
        """The judge that is asked, with the digest of its prompt; empty where only recorded votes are read."""
        return judge_identity("voicebench-qa", PROMPT)

    def score(self, item: ScoringItem) -> Value:
        """Parts: `correct` (in `compat` the chance of it where votes tie), `unparsed` of `votes`."""
        replies = judge_replies(item, "voicebench-qa", PROMPT)
        read = [is_yes(vote) for vote in replies.texts]
        counts = {"unparsed": float(read.count(None)), "votes": float(len(read))}
        return Value(
            parts={"correct": float(2 * read.count(True) > len(read)), **counts},
            compat={"correct": original_majority(replies.texts), **counts},
            detail={"scores": list(replies.texts), "judge": replies.judge},
        )

    def failure(self, sample: Sample) -> dict[str, float]:
        return {"correct": 0.0, "unparsed": 0.0, "votes": 0.0}


class Pedant(Metric):
    """Share of answers that PEDANT accepts, on lower-case text.

    PEDANT comes with the package qa_metrics, whose verdicts differ between its versions (the original pins 0.2.17)
    and which downloads its classifiers when it is first used.
    """

    id = "pedant[voicebench]"
    description = "Share of answers that the classifier PEDANT accepts (the other half of SD-QA)"
    source = f"{SOURCE}: src/evaluator/qa.py; qa_metrics 0.2.17"
    needs = frozenset({"hypothesis", "text"})
    heavy = True
    extra = "pedant"
    columns = frozenset({"prompt"})
    summaries = (Summary("panda", "mean", ("correct",), "%", "higher", 100.0),)

    @classmethod
    def ready(cls) -> None:
        if importlib.util.find_spec("qa_metrics") is None:
            raise MissingExtra("qa_metrics", cls.extra)

    @cached_property
    def _pedant(self) -> Any:
        module = require("qa_metrics.pedant", "pedant", "qa_metrics")
        try:
            return module.PEDANT()
        except OSError as error:
            raise NotFetched(
                f"The classifiers of PEDANT are not on this machine ({error}).", "Run it once with network access."
            ) from error

    def score(self, item: ScoringItem) -> Value:
        """Part: `correct`, 0 or 1. Raises `MissingExtra` without qa_metrics, `NotFetched` without its classifiers."""
        texts = [reference(item.sample), response(item), question(item.sample)]
        right, answer, asked = (text.lower() for text in texts)
        return Value(parts={"correct": float(self._pedant.evaluate([right], answer, asked))})

    def failure(self, sample: Sample) -> dict[str, float]:
        return {"correct": 0.0}
