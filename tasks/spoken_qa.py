"""Spoken questions of this project, with answers that a program can check: no hub, no judge."""

from __future__ import annotations

from speech_eval import Task, register_task

METRIC = "accuracy[spoken-qa@1]"


@register_task
def spoken_qa() -> Task:
    """Answers in speech are transcribed by a recognizer that needs no hub."""
    return Task(
        name="spoken-qa",
        version=1,
        interface="AudioLanguageModel",
        dataset="spoken-qa",
        metrics=(METRIC,),
        primary=f"{METRIC}/accuracy macro",
        protocol="spoken-qa@1",
        description="Spoken questions in eight sets: knowledge, reasoning, arithmetic, refusals, how it was said, …",
        recognizer="whisper-base",
    )
