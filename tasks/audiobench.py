"""Sets of AudioBench without options. Those with options are entries of the catalog."""

from __future__ import annotations

from speech_eval import Answer, Question, Task, register_task

_MATH, _RULES = "accuracy[spoken-mqa@e991641]", "ifeval-audio[audiobench@e991641]"


@register_task
def spoken_mqa() -> Task:
    """The number is the share over all problems; that of each of the four sets, and their mean, stand beside it."""
    return Task(
        name="spoken-mqa",
        version=1,
        interface="AudioLanguageModel",
        dataset="spoken-mqa",
        metrics=(_MATH,),
        primary=f"{_MATH}/accuracy",
        protocol="spoken-mqa@e991641",
        generate=Answer(max_new_tokens=512, question=Question("{instruction}")),
        description="Spoken-MQA: spoken arithmetic and word problems, in four sets",
    )


@register_task
def ifeval_audio() -> Task:
    return Task(
        name="ifeval-audio",
        version=1,
        interface="AudioLanguageModel",
        dataset="ifeval-audio",
        metrics=(_RULES,),
        primary=f"{_RULES}/success",
        protocol="ifeval-audio@e991641",
        generate=Answer(max_new_tokens=512, question=Question("{instruction}")),
        description="IFEval-Audio: answers about recordings in a form that a program checks, right by a judge",
    )
