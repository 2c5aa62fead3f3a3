"""Checkpoints from strangers: what their configuration asks for is compared with the weights before memory is taken,
and weights that are not finite are named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from speech_eval.adapters.spec import resolve
from speech_eval.errors import BadInput
from speech_eval.reference_models import CHECKPOINTS
from speech_eval.reference_models.conversation.duplex import checkpoint as duplex
from speech_eval.reference_models.training.checkpoint import load_checkpoint
from speech_eval.reference_models.tts import building


def _copy(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(CHECKPOINTS / name, folder / "model"))


@pytest.mark.parametrize("name", ["dac-16k-2k", "duplex-small", "llasa-3m-en"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(name: str, value: float, tmp_path: Path) -> None:
    folder = _copy(name, tmp_path)
    state = load_file(folder / "model.safetensors")
    broken = next(key for key, tensor in state.items() if tensor.is_floating_point() and tensor.numel() > 10)
    state[broken].view(-1)[7] = value
    save_file(state, folder / "model.safetensors")
    with pytest.raises(BadInput, match="holds NaN or infinity") as error:
        resolve(str(folder)).build()
    assert broken in str(error.value)


@pytest.mark.parametrize(
    ("name", "part", "key"),
    [
        ("dac-16k-2k", "decoder", "channels"),
        ("dac-16k-2k", "quantizer", "codebook_size"),
        ("dac-16k-2k", "", "latent_dim"),
        ("duplex-small", "core", "feed_forward"),
        ("duplex-small", "depth", "width"),
        ("llasa-3m-en", "core", "width"),
    ],
)
def test_a_huge_width_takes_no_memory(name: str, part: str, key: str, tmp_path: Path) -> None:
    folder = _copy(name, tmp_path)
    described = json.loads((folder / "reference.json").read_text("utf-8"))
    (described["config"][part] if part else described["config"])[key] = 1 << 20
    (folder / "reference.json").write_text(json.dumps(described))
    largest = 0

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            made = function(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor) and made.device.type == "cpu":
                largest = max(largest, made.numel())
            return made

    with Watch(), pytest.raises(BadInput) as error:
        resolve(str(folder)).build()
    assert str(folder) in str(error.value) and "\n" not in str(error.value)
    assert largest < 1 << 22  # the largest table that was sketched has a multiple of it


@pytest.mark.parametrize(("name", "part"), [("llasa-3m-en", "core"), ("duplex-small", "depth")])
def test_a_start_whose_weights_are_another_models_is_refused_in_a_line(name: str, part: str, tmp_path: Path) -> None:
    folder = _copy(name, tmp_path)
    described = json.loads((folder / "reference.json").read_text("utf-8"))
    described["config"][part]["width"] = 1 << 20
    (folder / "reference.json").write_text(json.dumps(described))
    with pytest.raises(BadInput, match="the weights belong to another configuration") as error:
        if name == "duplex-small":
            duplex.start_from(folder, duplex.config_of(folder))
        else:
            building.start_from(folder, building.read_config(folder, load_checkpoint(folder, "tts")[0]))
    assert str(folder) in str(error.value) and "\n" not in str(error.value)
