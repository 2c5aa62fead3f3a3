"""The ways in which others write the same checkpoint: each changes a directory that `save_pretrained` wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

Weights = dict[str, torch.Tensor]


def _edit(file: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    if file.is_file():
        file.write_text(json.dumps(change(json.loads(file.read_text()))))


def _weights(folder: Path) -> Weights:
    whole = folder / "model.safetensors"
    return load_file(whole) if whole.is_file() else torch.load(folder / "pytorch_model.bin", weights_only=True)


def _store(folder: Path, weights: Weights) -> None:
    whole = folder / "model.safetensors"
    if whole.is_file():
        save_file({name: weight.clone() for name, weight in weights.items()}, whole, metadata={"format": "pt"})
    else:
        torch.save(weights, folder / "pytorch_model.bin")


def shards(folder: Path) -> None:
    """Two safetensors files and their index."""
    weights = _weights(folder)
    for name in ("model.safetensors", "pytorch_model.bin"):
        (folder / name).unlink(missing_ok=True)
    files = {name: f"model-0000{1 + place % 2}-of-00002.safetensors" for place, name in enumerate(sorted(weights))}
    for file in set(files.values()):
        own = {name: weights[name].clone() for name in weights if files[name] == file}
        save_file(own, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))


def early(folder: Path) -> None:
    """As of 2021: `torch_dtype`, no `architectures`, the extractor in preprocessor_config.json; neither it nor the
    tokenizer says its class."""
    past = {"transformers_version": "4.11.0.dev0", "torch_dtype": "float32"}
    left = ("dtype", "architectures")
    _edit(folder / "config.json", lambda c: {k: v for k, v in c.items() if k not in left} | past)
    if (processor := folder / "processor_config.json").is_file():
        extractor = json.loads(processor.read_text()).get("feature_extractor", {})
        processor.unlink()
        (folder / "preprocessor_config.json").write_text(json.dumps(extractor))
    classes = ("feature_extractor_type", "processor_class")
    _edit(folder / "preprocessor_config.json", lambda c: {k: v for k, v in c.items() if k not in classes})
    named = ("unk_token", "bos_token", "eos_token", "pad_token", "word_delimiter_token", "do_lower_case")
    _edit(folder / "tokenizer_config.json", lambda c: {k: v for k, v in c.items() if k in named})


def without_generation(folder: Path) -> None:
    """Without generation_config.json and chat template."""
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "chat_template.jinja").unlink(missing_ok=True)


def fine_tuned(folder: Path) -> None:
    """As a trainer leaves it: with weights of its own, and nothing beside model and tokenizer."""
    without_generation(folder)
    for name in ("preprocessor_config.json", "processor_config.json"):
        (folder / name).unlink(missing_ok=True)
    _store(folder, {**_weights(folder), "trainer.scale": torch.ones(1)})


def more_weights(folder: Path) -> None:
    """With weights that the network has not."""
    _store(folder, {**_weights(folder), "trainer.scale": torch.ones(1)})


def old_norms(folder: Path) -> None:
    """Weight norms as of PyTorch 1."""
    new, old = ("original0", "original1"), ("weight_g", "weight_v")
    weights = _weights(folder)
    for before, after in zip(new, old, strict=True):
        weights = {k.replace(f"parametrizations.weight.{before}", after): v for k, v in weights.items()}
    _store(folder, weights)


def vocabulary(folder: Path) -> None:
    """Without tokenizer.json: vocab.json, merges.txt, and the added tokens in two files."""
    stated = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(stated["model"]["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in stated["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    added = {token["content"]: token["id"] for token in stated["added_tokens"]}
    (folder / "added_tokens.json").write_text(json.dumps(added))
    special = [token["content"] for token in stated["added_tokens"] if token["special"]]
    (folder / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": special}))
    _edit(folder / "tokenizer_config.json", lambda c: {k: v for k, v in c.items() if k != "added_tokens_decoder"})


def pickled(folder: Path) -> None:
    """Only pytorch_model.bin."""
    torch.save(_weights(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink(missing_ok=True)


def bookkeeping(folder: Path) -> None:
    """With fields in config.json that exporters add."""
    _edit(folder / "config.json", lambda c: {"transformers_version": "4.40.0", "architectures": ["X"], **c})


# ---------------------------------------------------------------------------------- what cannot be loaded


def no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)


def no_extractor(folder: Path) -> None:
    for name in ("preprocessor_config.json", "processor_config.json"):
        (folder / name).unlink(missing_ok=True)


def eight_bits(folder: Path) -> None:
    quantized = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    _edit(folder / "config.json", lambda c: c | {"quantization_config": quantized})


def adapter(folder: Path) -> None:
    """A LoRA adapter beside the files of its base, whose weights are not there."""
    for file in folder.glob("*.safetensors"):
        file.unlink()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base", "peft_type": "LORA"}')
    save_file({"base_model.model.x": torch.zeros(2)}, folder / "adapter_model.safetensors")


def adapter_alone(folder: Path) -> None:
    adapter(folder)
    (folder / "config.json").unlink()


def other_name(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.safetensors")


def other_shape(folder: Path) -> None:
    weights = _weights(folder)
    name = max(weights, key=lambda name: weights[name].numel())
    _store(folder, {**weights, name: weights[name][:-1].clone()})


def data_parallel(folder: Path) -> None:
    _store(folder, {f"module.{name}": weight for name, weight in _weights(folder).items()})


def pointer(folder: Path) -> None:
    """What git leaves where its large files were not fetched."""
    file = folder / "model.safetensors"
    if not file.is_file():
        file = folder / "pytorch_model.bin"
    file.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 290403936\n")


def gguf(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "model-Q4_0.gguf").write_bytes(b"GGUF" + bytes(100))
