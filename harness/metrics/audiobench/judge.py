"""AudioBench's judge: one rating of an answer against the reference, from 0 to 5 or right and wrong."""

from __future__ import annotations

import math
import re
from typing import ClassVar

from speech_eval.metrics.base import Metric, ScoringItem, Summary, Value
from speech_eval.metrics.judge import prove
from speech_eval.metrics.voicebench.replies import Style, bounded, judge_identity, judge_replies
from speech_eval.records import Sample

_STYLE = Style(votes=1, temperature=0.7, max_tokens=500, system=False)
_RATING = re.compile(r"(?i)rating\W*([0-9](?:\.[0-9]+)?)(?:\s*/\s*[0-9]+)?\W*\Z")

_PROMPT = """\
Somebody answered a question about a recording. Below are the question, the right answer, and the answer to rate.

Question: {{prompt}}
Right answer: {{reference}}
Answer to rate: {{response}}

How well does it agree with the right answer? {scale}
Explain in one line, then write a last line of the form
Rating: NUMBER
"""


def original_rating(reply: str) -> float | None:
    """The last word of a reply as Python's `float` reads it, whatever its range; None where it does not."""
    try:
        return float(reply.split()[-1])
    except (IndexError, ValueError):
        return None


class AudioBenchJudge(Metric):
    """Mean rating in per cent of the best, and the share of replies that could be read.

    `strict`: the number after the last "Rating", within the scale; another reply, or no answer, counts 0. `compat`: the
    last word of the reply, of any range; "4/5" and "Rating:4" are not numbers and count 0, "nan" makes the mean
    undefined.
    """

    id = "judge[audiobench@e991641]"
    description = "Mean rating 0-5 of an LLM judge against the reference, in per cent (AudioBench)"
    source = "AudioLLMs/AudioBench at e991641: src/dataset_src/eval_methods/eval_llama3_70b.py, eval_gpt4o.py"
    needs = frozenset({"text"})
    extra = "api"
    judged = True
    columns = frozenset({"prompt", "question", "instruction"})
    summaries = (
        Summary("score", "mean", ("rating",), "%", "higher", 100.0),
        Summary("success", "mean", ("read",), "%", "higher", 100.0, headline=False),
    )
    most: ClassVar[float] = 5.0
    name: ClassVar[str] = "audiobench-graded"
    prompt: ClassVar[str] = _PROMPT.format(scale="0: not at all, or it refuses; 5: fully and in every detail.")

    @classmethod
    def reachable(cls) -> None:
        prove()

    def scorer(self) -> str:
        """The judge that is asked, with the digest of its prompt; empty where only recorded replies are read."""
        return judge_identity(self.name, self.prompt, _STYLE)

    def score(self, item: ScoringItem) -> Value:
        """Parts: `rating`, a share of the best, and `read`, 0 or 1."""
        replies = judge_replies(item, self.name, self.prompt, _STYLE)
        reply = replies.texts[0]
        match = _RATING.search(reply.strip())
        ours = float(match[1]) if match and float(match[1]) <= self.most else None
        theirs = original_rating(reply)
        return Value(
            parts={"rating": (ours or 0.0) / self.most, "read": float(ours is not None)},
            compat={
                "rating": 0.0 if theirs is None else math.nan if bounded(theirs) is None else theirs / self.most,
                "read": float(theirs is not None),
            },
            detail={"scores": list(replies.texts), "judge": replies.judge, "rating": ours},
        )

    def failure(self, sample: Sample) -> dict[str, float]:
        return {"rating": 0.0, "read": 0.0}


class AudioBenchBinaryJudge(AudioBenchJudge):
    """The same with 0 for wrong and 1 for right."""

    id = "judge[audiobench-binary@e991641]"
    description = "Share of answers that an LLM judge calls right against the reference (AudioBench)"
    most = 1.0
    name = "audiobench-binary"
    prompt = _PROMPT.format(scale="0: it is wrong, or it refuses; 1: it is right.")
