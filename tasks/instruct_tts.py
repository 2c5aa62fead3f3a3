"""InstructTTSEval: speech that is told in words how to sound, before a judge that hears."""

from __future__ import annotations

from speech_eval import Task, register_task

_METRIC = "instructed[instruct-tts@b7e4120]"


def _task(language: str, name: str) -> Task:
    return Task(
        name=f"instruct-tts-{language}",
        version=1,
        interface="SpeechSynthesizer",
        dataset=f"instruct-tts-{language}",
        metrics=(_METRIC,),
        primary=f"{_METRIC}/followed",
        protocol="instruct-tts@b7e4120",
        description=f"InstructTTSEval, {name}: share of recordings that follow an instruction in words, of three kinds",
    )


@register_task
def instruct_tts_en() -> Task:
    """The average of the benchmark is the mean over the three kinds, `followed macro`."""
    return _task("en", "English")


@register_task
def instruct_tts_zh() -> Task:
    return _task("zh", "Chinese")
