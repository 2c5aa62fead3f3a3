"""Rows for `speech-eval list`: what is registered, described without loading anything heavy."""

from __future__ import annotations

import inspect
from typing import Any

from speech_eval import datasets, registry
from speech_eval.adapters.base import interfaces_of
from speech_eval.errors import UnknownName

# What fits a terminal of each row; --json has all of it.
SHOWN = {
    "tasks": ("name", "interfaces", "description"),
    "models": ("name", "interfaces", "description"),
    "metrics": ("id", "extra", "description"),
    "data": ("name", "languages", "n", "seconds", "license", "present"),
}
KINDS = tuple(SHOWN)


def rows(kind: str) -> list[dict[str, Any]]:
    """One row a registered thing of `kind`; raises `UnknownName` for another kind."""
    if kind not in KINDS:
        raise UnknownName(f"Nothing to list under '{kind}'.", f"Use one of: {', '.join((*KINDS, 'recipes'))}.")
    return {"tasks": _tasks, "models": _models, "metrics": _metrics, "data": _data}[kind]()


def short(kind: str) -> list[dict[str, Any]]:
    """`rows` with the columns of `SHOWN` alone."""
    return [{name: row[name] for name in SHOWN[kind]} for row in rows(kind)]


def _tasks() -> list[dict[str, Any]]:
    found = []
    for name in registry.tasks:
        task = registry.tasks.get(name)()
        found.append(
            {
                "name": name,
                "version": task.version,
                "interfaces": list(task.interfaces),
                "datasets": sorted({task.dataset_for(i) for i in task.interfaces}),
                "metrics": list(dict.fromkeys(m for i in task.interfaces for m in task.metrics_for(i))),
                "protocol": task.protocol,
                "description": task.description,
            }
        )
    return found


def _models() -> list[dict[str, Any]]:
    found = []
    for name in registry.adapters:
        cls = registry.adapters.get(name)
        text = (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")
        found.append({"name": name, "interfaces": interfaces_of(cls), "description": text})
    return found


def _metrics() -> list[dict[str, Any]]:
    found = []
    for name in registry.metrics:
        cls = registry.metrics.get(name)
        found.append(
            {
                "id": cls.id,
                "version": cls.version,
                "numbers": [f"{s.name} ({s.unit}, {s.direction} is better)" for s in cls.summaries],
                "needs": sorted(cls.needs),
                "extra": cls.extra,
                "description": cls.description,
                "source": cls.source,
            }
        )
    return found


def _data() -> list[dict[str, Any]]:
    return [datasets.summary(name) for name in datasets.names()]
