"""AIR-Bench's chat part: a judge rates a model's answer beside the reference, asked twice with their places swapped."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.choices.protocols import defined_mean
from speech_eval.metrics.judge import prove
from speech_eval.metrics.voicebench.records import field
from speech_eval.metrics.voicebench.replies import RECORDED, Style, bounded, judge_identity, judge_replies
from speech_eval.records import Sample
from speech_eval.statistics.summaries import Floats

LEAST, MOST = 1.0, 10.0
_Pair = tuple[float, float]
_WORST: _Pair = (MOST, LEAST)  # ratings of the reference and of an answer that is not there
_STYLE = Style(votes=1, temperature=1.0, max_tokens=1024, system=False, board="gpt-4-0125-preview")
_PAIR = re.compile(r"([0-9]+(?:\.[0-9]+)?)(?:\s*,\s*|\s+)([0-9]+(?:\.[0-9]+)?)\.?")

PROMPT = """\
Two assistants answered a question about a recording, which is described below in words.

Recording: {description}
Question: {prompt}
First answer: {first}
Second answer: {second}

Rate each answer from 1 to 10: is it helpful, to the point, right and complete?
Reply with one line that holds the two numbers alone, that of the first answer first, with a space between.
"""

# The groups of the published table, by the names of tasks in the data; `mixed` is the mean of the last two.
_GROUPS = (
    ("speech_QA", "speech_dialogue_QA"),
    ("sound_QA", "sound_generation_QA"),
    ("music_QA", "music_generation_analysis_QA"),
    ("speech_and_sound_QA",),
    ("speech_and_music_QA",),
)
_COLUMNS = ("normal", "normals", "swapped", "swaps", "group")


def original_pair(reply: str) -> _Pair | None:
    """The two whole numbers, none above 10, of a reply that is nothing else; None for another, and where no mean could
    be taken of them."""
    parts = reply.strip().replace("\n", "").split(" ")
    try:
        first, second = (bounded(float(int(part))) for part in parts)
    except (ValueError, OverflowError):
        return None
    if first is None or second is None or max(first, second) > MOST:
        return None
    return first, second


def pair(reply: str) -> _Pair | None:
    """Two numbers from 1 to 10, with a space or a comma between; None for any other reply."""
    match = _PAIR.fullmatch(reply.strip())
    found = (float(match[1]), float(match[2])) if match else None
    return found if found and all(LEAST <= value <= MOST for value in found) else None


def _group_scores(columns: dict[str, Floats], weights: Floats) -> list[Floats]:
    """The score of each group: the mean over the two orders of the mean rating of the model."""
    found = []
    for code in range(len(_GROUPS)):
        drawn = weights * (columns["group"] == code)
        with np.errstate(invalid="ignore", divide="ignore"):
            orders = [
                drawn @ columns[a] / (drawn @ columns[n]) for a, n in (("normal", "normals"), ("swapped", "swaps"))
            ]
        found.append(defined_mean(orders))
    return found


def _mixed(columns: dict[str, Floats], weights: Floats) -> Floats:
    return defined_mean(_group_scores(columns, weights)[3:])


def _average(columns: dict[str, Floats], weights: Floats) -> Floats:
    scores = _group_scores(columns, weights)
    return defined_mean([*scores[:3], defined_mean(scores[3:])])


def _one(name: str, code: int) -> Summary:
    def function(columns: dict[str, Floats], weights: Floats) -> Floats:
        return _group_scores(columns, weights)[code]

    return Summary(f"score {name}", "function", _COLUMNS, "", "higher", headline=False, function=function)


class AirBenchChat(Metric):
    """Mean rating 1–10 of the answers, each judged after and before the reference, and its average over four groups.

    The judge sees the description of the recording (`meta_info`), the question, and both answers. A group's score is
    the mean of the two orders; `mixed` is the mean of two groups, the average that of speech, sound, music and mixed,
    as far as the data has them. `strict`: the reply is two numbers from 1 to 10; one that is not, and a missing answer,
    count 1. `compat`: two whole numbers up to 10 with one space between; others leave the mean of their order.
    """

    id = "judge[air-bench@9832476]"
    description = "Mean rating 1-10 of an LLM judge beside the reference, with swapped places (AIR-Bench chat)"
    source = "OFA-Sys/AIR-Bench at 9832476: score_chat.py, cal_score.py; the average from its table"
    needs = frozenset({"text"})
    extra = "api"
    judged = True
    columns = frozenset({"question", "meta_info", "task_name"})
    requires = (frozenset({"task_name"}),)
    summaries = (
        Summary("average", "function", _COLUMNS, "", "higher", function=_average),
        *(_one(name, code) for code, name in enumerate(("speech", "sound", "music"))),
        Summary("score mixed", "function", _COLUMNS, "", "higher", headline=False, function=_mixed),
        Summary("win rate", "ratio", ("wins", "judged"), "%", "higher", 100.0, headline=False),
        Summary("unparsed", "mean", ("unparsed",), "%", "lower", 100.0, headline=False),
    )

    @classmethod
    def reachable(cls) -> None:
        prove()

    def scorer(self) -> str:
        """The judge that is asked, with the digest of its prompt; empty where only recorded replies are read."""
        return judge_identity("air-bench-chat", PROMPT, _STYLE)

    def score(self, item: ScoringItem) -> Value:
        """Parts: the model's rating `normal` (second) and `swapped` (first) with their counts, `wins` of `judged`
        comparisons with the reference, the code of the `group`, `unparsed` 0 or 1."""
        group = _group(item.sample)
        replies = judge_replies(item, "air-bench-chat", PROMPT, _STYLE, _orders(item))
        ours, theirs = ([read(reply) for reply in replies.texts[:2]] for read in (pair, original_pair))
        strict = [_WORST if found is None else found for found in _facing(ours)]
        return Value(
            parts=_parts(strict, group, unparsed=None in ours),
            compat=_parts(_facing(theirs), group, unparsed=None in theirs),
            detail={"scores": list(replies.texts), "judge": replies.judge, "ratings": ours},
        )

    def failure(self, sample: Sample) -> dict[str, float]:
        return _parts([_WORST, _WORST], _group(sample), unparsed=True)


def _orders(item: ScoringItem) -> list[dict[str, str]]:
    """What fills the places of the answers, the reference first and then second."""
    if any(item.sample.metadata.get(name) is not None for name in RECORDED):
        return []
    if not (item.hypothesis or "").strip():
        raise Unscorable(f"Sample {item.sample.id} has no answer to judge.", "Check the model's output.")
    about, reference, answer = str(field(item.sample, "meta_info")), item.sample.text or "", item.hypothesis or ""
    return [
        {"description": about, "first": first, "second": second}
        for first, second in ((reference, answer), (answer, reference))
    ]


def _facing(pairs: Sequence[_Pair | None]) -> list[_Pair | None]:
    """The ratings of the reference and of the model, order by order."""
    return [pair if pair is None or at == 0 else (pair[1], pair[0]) for at, pair in enumerate(pairs)]


def _parts(facing: Sequence[_Pair | None], group: float, *, unparsed: bool) -> dict[str, float]:
    known = [pair for pair in facing if pair is not None]
    orders = [*facing, None][:2]
    found = {"group": group, "unparsed": float(unparsed), "judged": float(len(known))}
    for (rating, count), pair in zip((("normal", "normals"), ("swapped", "swaps")), orders, strict=True):
        found |= {rating: 0.0 if pair is None else float(pair[1]), count: float(pair is not None)}
    return {**found, "wins": float(sum(model > reference for reference, model in known))}


def _group(sample: Sample) -> float:
    name = sample.metadata.get("task_name")
    code = next((code for code, names in enumerate(_GROUPS) if name in names), None)
    if code is None:
        raise BadData(f"Sample {sample.id}: AIR-Bench has no chat task '{name}'.", "Correct its `task_name`.")
    return float(code)
