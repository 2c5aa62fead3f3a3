"""MMAU-Pro: the share of instructions followed, and the rating of open answers by a judge."""

from __future__ import annotations

import re
from typing import Any

from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.judge import prove
from speech_eval.metrics.mmau_pro.rules import RULES, SOURCE, follows
from speech_eval.metrics.voicebench.ifeval import IFEval
from speech_eval.metrics.voicebench.replies import Style, bounded, judge_identity, judge_replies
from speech_eval.records import Sample
from speech_eval.text.files import parse_json

LEAST, MOST, NEUTRAL = 1.0, 5.0, 3.0
_CRITERIA = ("correctness", "relevance", "completeness", "clarity")
_STYLE = Style(votes=1, temperature=0.1, max_tokens=512, system=False, board="Qwen2.5-7B-Instruct")

PROMPT = """\
Somebody answered a question about a recording. Below are the question, a reference answer, and the answer to rate.

Question: {prompt}
Reference answer: {reference}
Answer to rate: {response}

Give a score from 1 to 5 for each of these, with a reason in a few words, in lines of this form:
CORRECTNESS: score - are its facts those of the reference?
RELEVANCE: score - does it answer the question?
COMPLETENESS: score - does it say all that matters in the reference?
CLARITY: score - is it clear and in order?
OVERALL: the mean of the four - in a word
"""


class Instructions(Metric):
    """Share of the answers that follow their instruction (`task_identifier`, `kwargs`), one of 27 that are checked.

    `compat` lets an empty answer follow what asks for little (no commas, at most ten words); `strict` does not.
    """

    id = "instructions[mmau-pro@960e93a]"
    description = "Share of answers that follow an instruction that a program checks (MMAU-Pro)"
    source = SOURCE
    needs = frozenset({"hypothesis"})
    extra = "voicebench"
    columns = frozenset({"task_identifier", "kwargs", "question"})
    requires = (frozenset({"task_identifier"}),)
    summaries = (Summary("followed", "mean", ("followed",), "%", "higher", 100.0),)

    @classmethod
    def ready(cls) -> None:
        IFEval.ready()  # the sentences of both

    def score(self, item: ScoringItem) -> Value:
        """Parts: `followed`, 0 or 1."""
        if item.hypothesis is None and item.output.status != "empty":
            raise Unscorable(f"Sample {item.sample.id} has no answer in text.", "Name a recognizer for speech answers.")
        answer, (rule, given) = item.hypothesis or "", _instruction(item.sample)
        try:
            kept = float(follows(rule, given, answer))
        except (ValueError, TypeError, OverflowError) as error:  # the data has something else in place of a number
            raise BadData(f"Sample {item.sample.id}: {error} in its instruction.", "Correct its `kwargs`.") from error
        ours = kept if answer.strip() else 0.0
        return Value(parts={"followed": ours}, compat={"followed": kept}, detail={"instruction": rule})

    def failure(self, sample: Sample) -> dict[str, float]:
        return {"followed": 0.0}

    def compat_failure(self, sample: Sample) -> dict[str, float] | None:
        return self.failure(sample)


def _instruction(sample: Sample) -> tuple[str, dict[str, Any]]:
    rule, given = str(sample.metadata.get("task_identifier")), sample.metadata.get("kwargs") or {}
    try:
        given = parse_json(given) if isinstance(given, str) else given
    except ValueError as error:
        raise BadData(f"Sample {sample.id}: its `kwargs` are not JSON ({error}).", "Correct them.") from error
    if rule not in RULES or not isinstance(given, dict):
        raise BadData(f"Sample {sample.id}: MMAU-Pro has no instruction '{rule}'.", "Correct its `task_identifier`.")
    return rule, {**given, "question": sample.metadata.get("question")}


def original_scores(reply: str) -> dict[str, float]:
    """The scores of a reply by name: digits right after `NAME:`, 3 for one that is not there. An overall that is not
    there, or is 3, is the mean of the others."""
    found = {}
    for name in (*_CRITERIA, "overall"):
        decimals = r"(?:\.\d+)?" if name == "overall" else ""
        match = re.search(rf"{name}:\s*(\d+{decimals})", reply, re.IGNORECASE)
        score = bounded(float(match[1])) if match else None
        found[name] = NEUTRAL if score is None else score
    if found["overall"] == NEUTRAL:
        found["overall"] = sum(found[name] for name in _CRITERIA) / len(_CRITERIA)
    return found


def overall(reply: str) -> float | None:
    """The overall score from 1 to 5, in brackets or bold as well, else the mean of the four others; None without."""
    found = {}
    for name in (*_CRITERIA, "overall"):
        match = re.search(rf"{name}\W*?(\d+(?:\.\d+)?)(?!\d)", reply, re.IGNORECASE)
        if match and LEAST <= float(match[1]) <= MOST:
            found[name] = float(match[1])
    if "overall" in found:
        return found["overall"]
    return sum(found.values()) / len(found) if len(found) == len(_CRITERIA) else None


class OpenJudge(Metric):
    """Mean overall rating 1–5 of open answers by a judge, and the same as MMAU-Pro adds it up (`share`, a fifth each).

    `strict`: a reply without a readable score, or no answer, counts 1. `compat`: a score that is not there counts 3, of
    any range, so that a judge that says nothing gives 60 %.
    """

    id = "judge[mmau-pro@960e93a]"
    description = "Mean overall rating 1-5 of an LLM judge of open answers (MMAU-Pro)"
    source = SOURCE
    needs = frozenset({"text"})
    extra = "api"
    judged = True
    columns = frozenset({"question", "prompt"})
    summaries = (
        Summary("score", "mean", ("rating",), "", "higher"),
        Summary("share", "mean", ("rating",), "%", "higher", 100.0 / MOST, headline=False),
        Summary("unparsed", "mean", ("unparsed",), "%", "lower", 100.0, headline=False),
    )

    @classmethod
    def reachable(cls) -> None:
        prove()

    def scorer(self) -> str:
        """The judge that is asked, with the digest of its prompt; empty where only recorded replies are read."""
        return judge_identity("mmau-pro-open", PROMPT, _STYLE)

    def score(self, item: ScoringItem) -> Value:
        """Parts: `rating`, and `unparsed` 0 or 1."""
        replies = judge_replies(item, "mmau-pro-open", PROMPT, _STYLE)
        ours, theirs = overall(replies.texts[0]), original_scores(replies.texts[0])["overall"]
        return Value(
            parts={"rating": LEAST if ours is None else ours, "unparsed": float(ours is None)},
            compat={"rating": theirs, "unparsed": 0.0},
            detail={"scores": list(replies.texts), "judge": replies.judge, "rating": ours},
        )

    def failure(self, sample: Sample) -> dict[str, float]:
        return {"rating": LEAST, "unparsed": 1.0}
