"""Low-rank adapters (Hu et al. 2021, LoRA) by peft: learned beside frozen weights, added to them in the checkpoint.

    W x  +  alpha / rank · B A x          A [rank, in] random, B [out, rank] zero at the start

A checkpoint has the sums, so everything reads it as any other; `adapter/` beside it has A and B as peft loads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from speech_eval.cache import make_folder
from speech_eval.errors import BadInput, SpeechEvalError, clipped, nearest, require
from speech_eval.reference_models.tts.training_config import LoRAConfig

ADAPTER = "adapter"  # folder of a checkpoint
_NAME = "default"  # peft's name for the only adapter


def add(model: nn.Module, config: LoRAConfig) -> dict[str, int]:
    """Freeze the transformers of a speech LM and put adapters beside their layers named in `config.targets`. Returns
    how many layers have one, and how many weights learn.

    Raises `BadInput` for a target that no layer is named after.
    """
    peft = require("peft", "train")
    parts = [part for part in model.children() if isinstance(part, PreTrainedModel)]
    names = {name.rpartition(".")[2] for part in parts for name, layer in part.named_modules() if _linear(layer)}
    if strange := sorted(set(config.targets) - names):
        problem = f"training.lora.targets: no layer is named {clipped(strange[0])}."
        raise BadInput(problem, nearest(strange[0], names))
    chosen = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=list(config.targets)
    )
    for part in parts:
        peft.inject_adapter_in_model(chosen, part)
        if config.embeddings:
            for layer in (part.get_input_embeddings(), part.get_output_embeddings()):
                if layer is not None:
                    layer.requires_grad_(True)
    found = _adapted(model)
    if not found or not all(layer.lora_A[_NAME].weight.requires_grad for layer in found.values()):
        raise SpeechEvalError("peft has put no adapter into the model.", "Install the peft of constraints.txt.")
    return {"layers": len(found), "learned": sum(p.numel() for p in model.parameters() if p.requires_grad)}


def merged(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The `state` of a model by the names it has without adapters, each adapter added to its weight."""
    found = dict(state)
    for name, layer in _adapted(model).items():
        a, b = (found.pop(f"{name}.lora_{part}.{_NAME}.weight") for part in "AB")
        found[f"{name}.weight"] = found.pop(f"{name}.base_layer.weight") + layer.scaling[_NAME] * (b @ a)
        if (bias := found.pop(f"{name}.base_layer.bias", None)) is not None:
            found[f"{name}.bias"] = bias
    return found


def save_adapter(state: Mapping[str, Tensor], config: LoRAConfig, folder: Path) -> None:
    """Write the adapters in the `state` of a single-stream speech LM as peft loads them onto the LLM they were trained
    on."""
    peft = require("peft", "train")
    core = "core."
    tensors = {
        f"base_model.model.{name.removeprefix(core).replace(f'.{_NAME}.', '.')}": tensor.contiguous()
        for name, tensor in state.items()
        if ".lora_" in name and name.startswith(core)
    }
    if not tensors:
        return
    make_folder(folder)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.targets),
        task_type="CAUSAL_LM",
    ).save_pretrained(folder)


def _linear(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear)


def _adapted(model: nn.Module) -> dict[str, Any]:
    return {name: layer for name, layer in model.named_modules() if hasattr(layer, "lora_A")}
