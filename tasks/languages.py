"""Error rates by the language of the data: Whisper's English rules for English, `unicode@1` for the others."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from speech_eval import Task
from speech_eval.text import primary_language, separates_words

ENGLISH, EVERY = "[whisper-normalizer@20250625]", "[unicode@1]"


def is_english(languages: Collection[str]) -> bool:
    return all(primary_language(tag) == "en" for tag in languages)


def error_rates(task: Task, languages: Collection[str]) -> Task:
    """The task with its error rates by `unicode@1`, unless all data is English."""
    if is_english(languages):
        return task
    return replace(
        task,
        metrics=tuple(name.replace(ENGLISH, EVERY) for name in task.metrics),
        primary=task.primary.replace(ENGLISH, EVERY),
        axes={axis: tuple(name.replace(ENGLISH, EVERY) for name in names) for axis, names in task.axes.items()},
    )


def recognition(task: Task, languages: Collection[str]) -> Task:
    """`error_rates` with the primary number of the language: words where spaces separate them, else characters."""
    task = error_rates(task, languages)
    if all(map(separates_words, languages)):
        return task
    return replace(task, primary=f"cer{EVERY}/cer", metrics=(f"cer{EVERY}", f"wer{EVERY}"))
