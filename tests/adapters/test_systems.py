"""The board of systems: its rows are true, and the page shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.catalog import MODELS, SCHEMES
from speech_eval.adapters.systems import LABELS, System, of_model, systems, table

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_shows_every_row() -> None:
    page = (ROOT / "docs" / "systems.md").read_text("utf-8")
    assert table() in page, "Put the output of `python -m speech_eval.adapters.systems` into docs/systems.md."
    for label, meaning in LABELS.items():
        assert label == "none" or meaning in page


def test_the_36_systems_stand_in_alphabetical_order() -> None:
    names = [system.name for system in systems()]
    assert names == sorted(names, key=str.lower) and len(set(names)) == len(names) == 36


@pytest.mark.parametrize("system", systems(), ids=lambda system: system.name)
def test_a_row_is_true(system: System) -> None:
    assert system.label in LABELS and system.kind and system.needs
    if system.label == "none":
        assert not system.proof
        return
    assert (ROOT / system.proof).exists() and system.spec
    assert system.model in MODELS
    target = modelspec.parse(system.spec).target
    assert target in MODELS or target.partition(":")[0] in SCHEMES


def test_a_model_knows_its_systems() -> None:
    assert "Voxtral (T)" in of_model("audio-chat") and of_model("oracle") == []
