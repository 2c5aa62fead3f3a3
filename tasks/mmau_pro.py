"""MMAU-Pro's rows without options: instructions that a program checks, and open questions. Its questions with options
are an entry of the catalog."""

from __future__ import annotations

from speech_eval import Answer, Question, Task, register_task

_RULES, _JUDGE = "instructions[mmau-pro@960e93a]", "judge[mmau-pro@960e93a]"


def _task(name: str, metric: str, summary: str, what: str) -> Task:
    return Task(
        name=name,
        version=1,
        interface="AudioLanguageModel",
        dataset=name,
        metrics=(metric,),
        primary=f"{metric}/{summary}",
        protocol="mmau-pro@960e93a",
        generate=Answer(max_new_tokens=1024, question=Question("{question}")),
        description=f"MMAU-Pro: {what}",
    )


@register_task
def mmau_pro_instructions() -> Task:
    return _task("mmau-pro-instructions", _RULES, "followed", "instructions about recordings that a program checks")


@register_task
def mmau_pro_open() -> Task:
    return _task("mmau-pro-open", _JUDGE, "score", "open questions about recordings, rated by a judge")
