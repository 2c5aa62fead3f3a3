"""The state of a training run in one safetensors file, from which a stopped run continues unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from speech_eval.cache import write_atomically
from speech_eval.errors import BadInput
from speech_eval.reference_models.training.checkpoint import mismatch
from speech_eval.reference_models.training.sharding import part_of, whole
from speech_eval.text.files import parse_json

FILE = "training.safetensors"
# Folders that the stages before a training leave beside its state: its data, its codec, its start, its shards.
EARLIER = ("data", "codec", "start", "shards")


class Stateful(Protocol):
    """A module, or another part whose state is named tensors."""

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> Any: ...


def state_of(
    modules: Mapping[str, Stateful], optimizers: Mapping[str, torch.optim.Optimizer], *, keep: bool
) -> dict[str, Tensor]:
    """The tensors of modules and optimizers by name, where `keep`. Every process must call it."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}/{key}": value for key, value in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        for index, entry in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}/{index}/{key}": torch.as_tensor(value) for key, value in entry.items()}
    return whole(tensors, keep=keep)


def save_training(folder: Path, tensors: Mapping[str, Tensor], facts: dict[str, Any]) -> None:
    """Write the tensors of a state and plain `facts` atomically: a kill leaves the previous state or this one."""
    own = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(folder / FILE, save(own, metadata={"facts": json.dumps(facts, sort_keys=True)}))


def load_training(
    folder: Path, modules: Mapping[str, Stateful], optimizers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, Any]:
    """Restore them in place and return the facts. Raises `BadInput` for a state that is missing, truncated, or of
    another model."""
    tensors, facts = _read(folder)
    for name, module in modules.items():
        own = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
        now = module.state_dict()
        own = {key: part_of(value, now.get(key)) for key, value in own.items()}
        try:
            module.load_state_dict(own)
        except (RuntimeError, KeyError) as error:
            raise BadInput(
                f"{folder / FILE}: '{name}' belongs to another configuration ({mismatch(error)}).",
                "Resume with the recipe, size and options it was started with.",
            ) from error
    for name, optimizer in optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for key, value in tensors.items():
            if key.startswith(f"{name}/"):
                _, index, entry = key.split("/")
                state.setdefault(int(index), {})[entry] = part_of(value, parameters[int(index)])
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return facts


def resumes(folder: Path) -> bool:
    """Whether a run that goes on in `folder` has a state to go on from; False if it was interrupted before its training
    began, which then begins. Raises `BadInput` if there is nothing of a run."""
    begun = (folder / FILE).is_file()
    if not begun and not any((folder / stage).exists() for stage in EARLIER):
        raise _nothing(folder)
    return begun


def _nothing(folder: Path) -> BadInput:
    return BadInput(f"{folder} has no training state to resume from.", "Start it without --resume.")


def read_facts(folder: Path) -> dict[str, Any]:
    """The plain facts of a stored state, without its tensors. Raises `BadInput` as `load_training` does."""
    with _open(folder) as file:
        return _facts(folder, file)


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with _open(folder) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, _facts(folder, file)  # noqa: SIM118


def _facts(folder: Path, file: Any) -> dict[str, Any]:
    try:
        return dict(parse_json((file.metadata() or {})["facts"]))
    except (KeyError, ValueError, TypeError) as error:
        raise BadInput(
            f"{folder / FILE}: no facts of a training ({error!r}).", "Start the training again in another --output."
        ) from error


def _open(folder: Path) -> Any:
    path = folder / FILE
    if not path.is_file():
        raise _nothing(folder)
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise BadInput(
            f"{path}: broken or truncated training state ({error}).", "Start the training again in another --output."
        ) from error


class EMA:
    """A running mean of a module's parameters. Buffers are copied: codebooks in them are running means already, and a
    restarted code must not be averaged with the one it replaces."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.mean = {name: value.detach().clone() for name, value in module.state_dict().items()}

    def to(self, device: torch.device) -> None:
        """Move the mean to a device."""
        self.mean = {name: value.to(device) for name, value in self.mean.items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        averaged = {name for name, _ in module.named_parameters()}
        for name, value in module.state_dict().items():
            if name in averaged:
                self.mean[name].lerp_(value, 1.0 - self.decay)
            else:
                self.mean[name].copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.mean)

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        if state_dict.keys() != self.mean.keys():
            raise RuntimeError("the running mean and the module have different names")
        for name, value in state_dict.items():
            self.mean[name].copy_(value)
