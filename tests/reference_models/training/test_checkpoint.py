"""A trained model on disk: what is saved comes back, and what is broken is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from speech_eval.errors import BadInput
from speech_eval.reference_models.training.checkpoint import load_checkpoint, save_checkpoint

STATE = {"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(3)}
CARD = {"name": "a model", "license": "cc-by-3.0", "description": "What it is.", "training": {"steps": 3, "loss": 0.25}}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "model", "codec", {"dim": 2}, STATE, CARD)
    return tmp_path / "model"


def test_what_is_saved_comes_back(saved: Path) -> None:
    config, state, card = load_checkpoint(saved, "codec")
    assert (config, card) == ({"dim": 2}, CARD)
    assert state.keys() == STATE.keys() and all(torch.equal(state[name], STATE[name]) for name in STATE)


def test_tensors_that_share_memory_are_saved_apart(tmp_path: Path) -> None:
    shared = torch.ones(4)
    save_checkpoint(tmp_path, "codec", {}, {"a": shared, "b": shared}, {})
    state = load_checkpoint(tmp_path, "codec")[1]
    assert torch.equal(state["a"], shared) and torch.equal(state["b"], shared)


def test_the_card_is_written_for_people_too(saved: Path) -> None:
    text = (saved / "README.md").read_text("utf-8")
    assert text.startswith("---\nlicense: cc-by-3.0\n")
    assert "| steps | 3 |" in text and "What it is." in text


def test_a_checkpoint_of_another_kind_is_refused(saved: Path) -> None:
    with pytest.raises(BadInput, match="kind 'codec', not 'tts'"):
        load_checkpoint(saved, "tts")


def test_a_folder_without_a_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no reference\.json"):
        load_checkpoint(tmp_path, "codec")


def test_missing_weights_are_named(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"model\.safetensors: the weights are missing"):
        load_checkpoint(saved, "codec")


@pytest.mark.parametrize("kept", [0, 5, -1])
def test_truncated_weights_are_named(saved: Path, kept: int) -> None:
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(BadInput, match=r"model\.safetensors: broken or truncated"):
        load_checkpoint(saved, "codec")


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 1, "kind": "codec", "config": 3, "card": {}}'])
def test_a_broken_description_is_named(saved: Path, text: str) -> None:
    (saved / "reference.json").write_text(text)
    with pytest.raises(BadInput, match=r"reference\.json"):
        load_checkpoint(saved, "codec")


def test_a_later_format_is_refused(saved: Path) -> None:
    described = json.loads((saved / "reference.json").read_text())
    (saved / "reference.json").write_text(json.dumps(described | {"format": 2}))
    with pytest.raises(BadInput, match="format 2"):
        load_checkpoint(saved, "codec")
