"""VoiceBench's subsets, each a task of its own. The recordings are fetched from the hub when they are first used."""

from __future__ import annotations

from collections.abc import Callable

from speech_eval import Answer, Task, register_task


def _subset(name: str, metric: str, summary: str, description: str, *further: str) -> Callable[[], Task]:
    @register_task
    def task() -> Task:
        return Task(
            name=f"voicebench-{name}",
            version=2 if further else 1,
            interface="AudioLanguageModel",
            dataset=f"voicebench-{name}",
            metrics=(metric, *further),
            optional=frozenset(further),
            primary=f"{metric}/{summary}",
            protocol="voicebench@5338154",
            generate=Answer(max_new_tokens=2048),
            description=f"VoiceBench {name}: {description}",
        )

    return task


_OPEN = ("judge[voicebench]", "score", "open questions, mean rating of a judge")
_CHOICE = ("choice[voicebench]", "accuracy", "spoken questions with four options")

alpacaeval = _subset("alpacaeval", *_OPEN)
alpacaeval_full = _subset("alpacaeval-full", *_OPEN)
commoneval = _subset("commoneval", *_OPEN)
wildvoice = _subset("wildvoice", *_OPEN)
mmsu = _subset("mmsu", *_CHOICE)
openbookqa = _subset("openbookqa", *_CHOICE)
sd_qa = _subset("sd-qa", "qa[voicebench]", "gpt", "questions with a reference", "pedant[voicebench]")
bbh = _subset("bbh", "bbh[voicebench]", "accuracy", "reasoning with two answers")
ifeval = _subset("ifeval", "ifeval[voicebench]", "final", "instructions that a program can check")
advbench = _subset("advbench", "refusal[voicebench]", "refusal-rate", "harmful requests to refuse")

# The subsets that the benchmark's overall score is the mean of.
OVERALL = tuple(
    f"voicebench-{name}"
    for name in [
        "alpacaeval-full",
        "commoneval",
        "wildvoice",
        "sd-qa",
        "mmsu",
        "openbookqa",
        "bbh",
        "ifeval",
        "advbench",
    ]
)
