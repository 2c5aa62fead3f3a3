"""Sets of AudioBench without options. Those with options are entries of the catalog."""

from __future__ import annotations

from speech_eval import Answer, Question, Task, register_task

_MATH, _RULES = "accuracy[spoken-mqa@e991641]", "ifeval-audio[audiobench@e991641]"
_GRADED, _BINARY = "judge[audiobench@e991641]", "judge[audiobench-binary@e991641]"
_ASKED = Question("{instruction}")


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
        generate=Answer(max_new_tokens=512, question=_ASKED),
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
        generate=Answer(max_new_tokens=512, question=_ASKED),
        description="IFEval-Audio: answers about recordings in a form that a program checks, right by a judge",
    )


def _judged(name: str, metric: str, question: Question | None, description: str) -> Task:
    """The mean over the sets is the board's average; the number of each set stands beside it."""
    return Task(
        name=name,
        version=1,
        interface="AudioLanguageModel",
        dataset=name,
        metrics=(metric,),
        primary=f"{metric}/score",
        protocol=f"{name}@e991641",
        generate=Answer(max_new_tokens=512, question=question),
        description=description,
    )


@register_task
def audiobench_graded() -> Task:
    return _judged(
        "audiobench-graded", _GRADED, _ASKED, "AudioBench: questions about speech and sound, graded by a judge"
    )


@register_task
def audiobench_spoken() -> Task:
    return _judged("audiobench-spoken", _GRADED, None, "AudioBench: spoken instructions, graded by a judge")


@register_task
def audiobench_binary() -> Task:
    return _judged(
        "audiobench-binary", _BINARY, _ASKED, "AudioBench: options, emotion, sex and accent, right by a judge"
    )
