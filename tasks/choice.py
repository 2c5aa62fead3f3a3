"""Questions about recordings with options: one task for each dataset of the catalog that has them."""

from __future__ import annotations

from functools import partial

from speech_eval import Answer, Question, Task, register_task
from speech_eval.datasets.catalog import Choice, catalog


def _task(name: str, about: Choice) -> Task:
    return Task(
        name=name,
        version=1,
        interface="AudioLanguageModel",
        dataset=name,
        metrics=(about.metric, *about.further),
        primary=f"{about.metric}/{about.primary}",
        protocol=about.protocol,
        generate=Answer(
            max_new_tokens=512,
            question=Question(about.prompt, option=about.option, between=about.between, least=about.least),
        ),
        description=about.description or f"Questions with options: {name}",
    )


for _name, _entry in catalog().datasets.items():
    if _entry.choice is not None:
        register_task(partial(_task, _name, _entry.choice))
