"""A trained model as a directory: `reference.json` describes it, `model.safetensors` holds the weights.

reference.json      {"format": 1, "kind": "codec" | "tts", "config": {...}, "card": {...}}
model.safetensors   the state of the module that `config` builds
README.md           the card for people
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from speech_eval.cache import write_atomically
from speech_eval.errors import BadInput, clipped, nearest
from speech_eval.reference_models import CHECKPOINTS
from speech_eval.reference_models.training.config import first_problem
from speech_eval.text.files import parse_json

FORMAT = 1
DESCRIPTION = "reference.json"
WEIGHTS = "model.safetensors"

State = dict[str, Tensor]
M = TypeVar("M", bound=nn.Module)


def save_checkpoint(directory: Path, kind: str, config: dict[str, Any], state: State, card: dict[str, Any]) -> None:
    """Write a checkpoint, each file atomically. `config` and `card` are plain data."""
    described = {"format": FORMAT, "kind": kind, "config": config, "card": card}
    text = json.dumps(described, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
    write_atomically(directory / WEIGHTS, tensor_bytes(state))
    write_atomically(directory / "README.md", render_card(kind, config, card).encode())
    write_atomically(directory / DESCRIPTION, (text + "\n").encode())


def load_checkpoint(directory: Path, kind: str) -> tuple[dict[str, Any], State, dict[str, Any]]:
    """`(config, state, card)` of a checkpoint of this kind. Raises `BadInput` naming a file that is missing, truncated,
    of another format or of another kind, and weights that are not finite."""
    described = read_description(directory)
    if described["kind"] != kind:
        raise BadInput(
            f"{directory} is a checkpoint of kind '{described['kind']}', not '{kind}'.",
            f"Give a checkpoint of kind '{kind}'.",
        )
    state = load_tensors(directory / WEIGHTS)
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise BadInput(
                f"{directory / WEIGHTS}: the tensor {name[:100]!r} holds NaN or infinity.",
                "Use a checkpoint from before the training diverged.",
            )
    return described["config"], state, described["card"]


def find_checkpoint(name: str, option: str) -> Path:
    """The directory `name`, or that of a shipped checkpoint of that name. Raises `BadInput` naming the `option`."""
    found = [folder for folder in (Path(name), CHECKPOINTS / name) if (folder / DESCRIPTION).is_file()]
    if not found:
        shipped = [folder.name for folder in CHECKPOINTS.iterdir() if folder.is_dir()]
        raise BadInput(
            f"{option}: there is no checkpoint {clipped(name)}.",
            f"Give a directory that `speech-eval train` wrote, or the name of a shipped one. {nearest(name, shipped)}",
        )
    return found[0]


def read_description(directory: Path) -> dict[str, Any]:
    """The checked content of `reference.json`."""
    file = directory / DESCRIPTION
    if not file.is_file():
        raise BadInput(f"{directory} has no {DESCRIPTION}.", "Give a directory that `speech-eval train` wrote.")
    try:
        described = parse_json(file.read_text("utf-8"))
        version, kind = described["format"], described["kind"]
        complete = isinstance(kind, str) and all(isinstance(described[part], dict) for part in ("config", "card"))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{file}: not a description of a checkpoint ({error!r}).", "Copy the checkpoint again."
        ) from error
    if version != FORMAT or not complete:
        raise BadInput(f"{file}: format {version}; this version reads format {FORMAT}.", "Train it again.")
    return dict(described)


def tensor_bytes(state: State) -> bytes:
    """The tensors in safetensors form, on the CPU, none sharing memory with another."""
    return save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()})


def load_tensors(file: Path) -> State:
    """The tensors of a safetensors file, on the CPU. Raises `BadInput` naming a missing or truncated file."""
    if not file.is_file():
        raise BadInput(f"{file}: the weights are missing.", "Copy the checkpoint again, complete.")
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{file}: broken or truncated weights ({error}).", "Copy the checkpoint again.") from error


def restored(directory: Path, build: Callable[[], M], state: State | Callable[[M], State]) -> M:
    """The module that `build` makes, with the `state`, which may depend on it. Memory is taken only after
    its shapes are known to be those of the state. Raises `BadInput` where they are not."""
    try:
        with torch.device("meta"):
            sketch = build()
            sketch.load_state_dict(state(sketch) if callable(state) else state, assign=True)
        module = build()
        module.load_state_dict(state(module) if callable(state) else state)
    except ValueError as error:  # pydantic's
        raise BadInput(f"{directory}: {mismatch(error)}.", "Use a checkpoint as training wrote it.") from error
    except RuntimeError as error:  # torch's
        problem = f"the weights belong to another configuration ({mismatch(error)})"
        raise BadInput(f"{directory}: {problem}.", "Copy the checkpoint again, complete.") from error
    return module


def mismatch(error: Exception) -> str:
    """What a failed validation or `load_state_dict` found first, in one short line."""
    if isinstance(error, ValidationError):
        return f"configuration {first_problem(error)}"
    lines = [line.strip() for line in str(error).splitlines()] or [""]
    return lines[lines[0].startswith("Error(s)") and len(lines) > 1][:200].rstrip(" .")


def render_card(kind: str, config: dict[str, Any], card: dict[str, Any]) -> str:
    """The card as Markdown: front matter for hubs, a sentence, a table per section, the configuration."""
    front = [f"{key}: {card[key]}" for key in ("license", "language") if key in card]
    lines = ["---", *front, f"tags: [speech-eval, {kind}]", "---", "", f"# {card.get('name', kind)}", ""]
    lines += [str(card["description"]), ""] if "description" in card else []
    for title, content in card.items():
        if title in ("name", "description", "license", "language"):
            continue
        lines += [f"## {title.replace('_', ' ').capitalize()}", "", *_section(content), ""]
    lines += ["## Configuration", "", "```json", json.dumps(config, indent=2, sort_keys=True), "```", ""]
    return "\n".join(lines)


def _section(content: Any) -> list[str]:
    if isinstance(content, dict):
        rows = [f"| {key.replace('_', ' ')} | {_cell(value)} |" for key, value in content.items()]
        return ["| | |", "|---|---|", *rows] if rows else ["none"]
    if isinstance(content, list):
        return [f"- {_cell(item)}" for item in content] or ["none"]
    return [_cell(content)]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_cell(item) for item in value)
    return str(value).replace("|", "\\|").replace("\n", " ")
