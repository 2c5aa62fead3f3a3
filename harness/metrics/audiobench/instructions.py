"""IFEval-Audio: an answer about a recording is right by a judge, and keeps a rule of form by a program."""

from __future__ import annotations

import re

from speech_eval.metrics.audiobench.rules import RULES, SOURCE, follows, says_nothing
from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.judge import prove
from speech_eval.metrics.voicebench.replies import Style, bounded, judge_identity, judge_replies
from speech_eval.records import Sample

_STYLE = Style(votes=1, temperature=0.7, max_tokens=512, system=False, board="Meta-Llama-3-70B-Instruct")
_RATING = re.compile(r"(?i)rating\W*([01])\b(?!\s*[./]\s*\d)")

PROMPT = """\
Somebody was asked about a recording. Below are the task, the right answer, and the answer to rate.

Task: {prompt}
Right answer: {reference}
Answer to rate: {response}

Does the answer say what the right answer says? Where the task asks for the very words, only the same words will do.
Reply with two lines:
Correctness Rating: 0 or 1
Explanation: why
"""


class AudioInstructions(Metric):
    """Share of the answers that are right by a judge (`correctness`), keep the rule (`instruction`), and both.

    `strict`: the rating is the 0 or 1 after "Rating"; another reply is 0, and the rule is checked all the same; an
    answer that has nothing that the rule is about does not keep it. `compat`: the rating is the whole number after the
    last colon of the reply's first line, whatever it is; where there is none, or the rule is none of the thirteen's
    kind, both count 0.
    """

    id = "ifeval-audio[audiobench@e991641]"
    description = (
        "Share of answers about recordings that a judge calls right and that keep a rule of form (IFEval-Audio)"
    )
    source = SOURCE
    needs = frozenset({"text"})
    extra = "api"
    judged = True
    columns = frozenset({"prompt", "question", "instruction", "rule", "rule_content"})
    requires = (frozenset({"rule"}),)
    summaries = (
        Summary("success", "mean", ("success",), "%", "higher", 100.0),
        Summary("correctness", "mean", ("correct",), "%", "higher", 100.0),
        Summary("instruction", "mean", ("follows",), "%", "higher", 100.0),
        Summary("unparsed", "mean", ("unparsed",), "%", "lower", 100.0, headline=False),
    )

    @classmethod
    def reachable(cls) -> None:
        prove()

    def scorer(self) -> str:
        """The judge that is asked, with the digest of its prompt; empty where only recorded replies are read."""
        return judge_identity("ifeval-audio", PROMPT, _STYLE)

    def score(self, item: ScoringItem) -> Value:
        """Parts: `success`, `correct`, `follows` and `unparsed`, 0 or 1; in `compat` as the original adds them up."""
        rule, target = _rule(item.sample)
        if item.hypothesis is None and item.output.status != "empty":
            raise Unscorable(f"Sample {item.sample.id} has no answer in text.", "Name a recognizer for speech answers.")
        answer = item.hypothesis or ""
        slots = {"prompt": str(item.sample.metadata.get("instruction") or item.sample.prompt_text or "")}
        replies = judge_replies(item, "ifeval-audio", PROMPT, _STYLE, [slots])
        kept = follows(rule, target, answer)
        match, theirs = _RATING.search(replies.texts[0]), original_rating(replies.texts[0])
        ours = kept and not says_nothing(rule, target, answer)
        right = match is not None and match[1] == "1"
        return Value(
            parts=_parts(float(right), float(ours), unparsed=match is None),
            compat=_parts(theirs or 0.0, float(kept and theirs is not None), unparsed=theirs is None),
            detail={"scores": list(replies.texts), "judge": replies.judge, "rule": rule, "follows": ours},
        )

    def failure(self, sample: Sample) -> dict[str, float]:
        return _parts(0.0, 0.0, unparsed=True)


def original_rating(reply: str) -> float | None:
    """The whole number after the last colon of the first line; None for another reply, and beyond what means are of."""
    try:
        return bounded(float(int(reply.split("\n")[0].split(":")[-1].strip())))
    except (ValueError, OverflowError):
        return None


def _parts(rating: float, kept: float, *, unparsed: bool) -> dict[str, float]:
    success = float(rating == 1.0 and kept == 1.0)
    return {"success": success, "correct": rating, "follows": kept, "unparsed": float(unparsed)}


def _rule(sample: Sample) -> tuple[str, str]:
    """The number of the rule, which may be empty, and what it is about."""
    rule = str(sample.metadata.get("rule") or "")
    if rule and rule not in RULES:
        raise BadData(f"Sample {sample.id}: IFEval-Audio has no rule {rule}.", "Give one from 1 to 13.")
    return rule, str(sample.metadata.get("rule_content") or "")
