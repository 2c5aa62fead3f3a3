"""The systems of the field, how far each is proven here, and how a user runs it: systems.yaml, one line per system.

`table()` is the table of docs/systems.md; run `python -m speech_eval.adapters.systems` to print it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import yaml

LABELS = {
    "R": "real weights run in the tests",
    "T": "the real class with tiny random weights runs in the tests",
    "P": "the protocol is proven against the original's interface",
    "none": "not run here",
}


class System(NamedTuple):
    """One system. `model` is the catalog entry behind `spec`, which a user gives as `--model`; `needs` is what they
    install or start first; `proof` is the test behind the label."""

    name: str
    kind: str
    label: str
    model: str
    spec: str
    needs: str
    proof: str


@cache
def systems() -> tuple[System, ...]:
    """All rows, in alphabetical order."""
    text = files("speech_eval.adapters").joinpath("systems.yaml").read_text("utf-8")
    return tuple(System(**row) for row in yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def of_model(name: str) -> list[str]:
    """The systems behind a catalog entry, each with its label: `Voxtral (T)`."""
    return [f"{system.name} ({system.label})" for system in systems() if system.model == name]


def table() -> str:
    """The rows as a Markdown table."""
    lines = ["| system | kind | label | `--model` | needs |", "|---|---|---|---|---|"]
    for row in systems():
        spec = f"`{row.spec}`" if row.spec else ""
        lines.append(f"| {row.name} | {row.kind} | {'' if row.label == 'none' else row.label} | {spec} | {row.needs} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
