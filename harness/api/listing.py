"""Rows for `speech-eval list`: what is registered, described without loading anything heavy."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from speech_eval import datasets
from speech_eval.adapters.base import INTERFACES
from speech_eval.adapters.catalog import MODELS
from speech_eval.adapters.entry import Entry
from speech_eval.adapters.systems import of_model
from speech_eval.engine.task import GROUPS as TASK_GROUPS
from speech_eval.engine.task import TASKS
from speech_eval.errors import BadInput, UnknownName, clipped, nearest
from speech_eval.metrics.catalog import METRICS

# The columns that fit a terminal; --json has all of them.
SHOWN = {
    "tasks": ("name", "interfaces", "description"),
    "models": ("name", "extra", "source", "description"),
    "metrics": ("id", "extra", "description"),
    "data": ("name", "languages", "n", "seconds", "license", "present"),
}
KINDS = tuple(SHOWN)
SEVERAL, OTHER, FAKES = "several interfaces", "other packages", "fakes for tests"
GROUPS = (*INTERFACES, SEVERAL, OTHER, FAKES)


def list_models(interface: str | None = None) -> list[dict[str, Any]]:
    """One row per model of the catalog, grouped by interface, the fakes last; only those of `interface` if given.

    Raises `UnknownName` for an interface that does not exist.
    """
    return rows("models", interface)


def list_tasks(interface: str | None = None) -> list[dict[str, Any]]:
    """One row per task; only those for models of `interface` if given."""
    return rows("tasks", interface)


def list_metrics() -> list[dict[str, Any]]:
    """One row per metric: its id, its numbers with unit and direction, what it needs, and its source."""
    return rows("metrics")


def list_data() -> list[dict[str, Any]]:
    """One row per dataset: languages, size, license, and whether the recordings are on this machine."""
    return rows("data")


def task_groups() -> dict[str, tuple[str, ...]]:
    """The names that stand for several tasks, with those tasks."""
    TASKS.names()  # imports the packages that name groups
    return dict(sorted(TASK_GROUPS.items()))


def rows(kind: str, interface: str | None = None) -> list[dict[str, Any]]:
    """One row per registered thing of `kind`, of one interface where that is given. Raises `UnknownName` for another
    kind or interface."""
    if kind not in KINDS:
        raise UnknownName(f"Nothing to list under '{clipped(kind)}'.", nearest(kind, (*KINDS, "recipes")))
    found = {"tasks": _tasks, "models": _models, "metrics": _metrics, "data": _data}[kind]()
    if interface is None:
        return found
    if interface not in INTERFACES:
        raise UnknownName(f"There is no interface '{clipped(interface)}'.", nearest(interface, INTERFACES))
    if kind not in ("tasks", "models"):
        raise BadInput(f"The rows of '{kind}' have no interface.", "Leave out --interface.")
    return [row for row in found if interface in row["interfaces"]]


def short(kind: str, interface: str | None = None) -> list[dict[str, Any]]:
    """`rows` with the columns of `SHOWN`. Models stand below a line with the name of their group."""
    if kind != "models":
        return [{name: row[name] for name in SHOWN[kind]} for row in rows(kind, interface)]
    shown: list[dict[str, Any]] = []
    for group, members in groupby(rows(kind, interface), key=lambda row: row["group"]):
        shown.append(dict.fromkeys(SHOWN[kind], "") | {"name": group})
        for row in members:
            usage = "" if row["spec"] == row["name"] else f": {row['spec']}"
            named = {"name": f"  {row['name']}", "description": row["description"] + usage}
            shown.append({name: named.get(name, row[name]) for name in SHOWN[kind]})
    return shown


def _tasks() -> list[dict[str, Any]]:
    found = []
    for name in TASKS:
        task = TASKS.get(name)()
        found.append(
            {
                "name": name,
                "version": task.version,
                "interfaces": list(task.interfaces),
                "datasets": sorted({variant.dataset for variant in task.variants.values()}),
                "metrics": list(dict.fromkeys(m for variant in task.variants.values() for m in variant.metrics)),
                "protocol": task.protocol,
                "description": task.description,
            }
        )
    return found


def _models() -> list[dict[str, Any]]:
    """One row per catalog entry, grouped by interface, the fakes last. Imports no adapter."""
    rows = [
        {
            "group": _group(entry),
            "name": entry.name,
            "spec": entry.spec,
            "systems": of_model(entry.name),
            "interfaces": list(entry.interfaces),
            "extra": entry.extra,
            "source": entry.source,
            "description": entry.summary,
        }
        for entry in map(MODELS.get, MODELS)
    ]
    return sorted(rows, key=lambda row: GROUPS.index(row["group"]))


def _group(entry: Entry) -> str:
    if entry.fake:
        return FAKES
    if not entry.interfaces:
        return OTHER
    return entry.interfaces[0] if len(entry.interfaces) == 1 else SEVERAL


def _metrics() -> list[dict[str, Any]]:
    found = []
    for name in METRICS:
        cls = METRICS.get(name)
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
