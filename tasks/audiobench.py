"""Sets of AudioBench without options. Those with options are entries of the catalog."""

from __future__ import annotations

from speech_eval import Answer, Question, Task, register_task

_MATH, _RULES = "accuracy[spoken-mqa@e991641]", "ifeval-audio[audiobench@e991641]"
_GRADED, _BINARY = "judge[audiobench@e991641]", "judge[audiobench-binary@e991641]"
_INSTRUCTION = Question("{instruction}")


def _task(name: str, metric: str, summary: str, what: str, question: Question | None = _INSTRUCTION) -> Task:
    """A set, or several as one, each with a number beside that of all."""
    return Task(
        name=name,
        version=1,
        interface="AudioLanguageModel",
        dataset=name,
        metrics=(metric,),
        primary=f"{metric}/{summary}",
        protocol=f"{name}@e991641",
        generate=Answer(max_new_tokens=512, question=question),
        description=what,
    )


@register_task
def spoken_mqa() -> Task:
    """The number is the share over all problems; that of each of the four sets, and their mean, stand beside it."""
    return _task("spoken-mqa", _MATH, "accuracy", "Spoken-MQA: spoken arithmetic and word problems, in four sets")


@register_task
def ifeval_audio() -> Task:
    what = "IFEval-Audio: answers about recordings in a form that a program checks, right by a judge"
    return _task("ifeval-audio", _RULES, "success", what)


@register_task
def audiobench_graded() -> Task:
    """The number is the mean over the sets, the board's average; so it is of the two below."""
    what = "AudioBench: questions about speech and sound, graded by a judge"
    return _task("audiobench-graded", _GRADED, "score", what)


@register_task
def audiobench_spoken() -> Task:
    what = "AudioBench: spoken instructions, graded by a judge"
    return _task("audiobench-spoken", _GRADED, "score", what, question=None)


@register_task
def audiobench_binary() -> Task:
    what = "AudioBench: options, emotion, sex and accent, right by a judge"
    return _task("audiobench-binary", _BINARY, "score", what)
