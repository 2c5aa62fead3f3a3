"""Builds a model from a configuration, saves what it learned as a checkpoint directory, and loads it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from speech_eval.errors import BadInput
from speech_eval.reference_models.audio_llm.config import AudioLLMConfig
from speech_eval.reference_models.audio_llm.model import AudioLLM
from speech_eval.reference_models.audio_llm.text_llm import load_llm
from speech_eval.reference_models.training.checkpoint import load_checkpoint, mismatch, save_checkpoint
from speech_eval.reference_models.training.config import first_problem

KIND = "audio-llm"
_TOKENS, _SPELLING = "ctc.tokens", "ctc.spelling.weight"
_WIDEST = 1 << 16  # features of an encoder


def build(config: AudioLLMConfig, dim: int, tokens: Tensor | None = None) -> AudioLLM:
    """A new model around the text LLM of `config`, whose digest is filled in. Raises `BadInput` for other weights than
    those it names."""
    text = load_llm(config.llm)
    if config.llm.weights_sha256 not in ("", text.weights_sha256):
        raise BadInput(
            f"The LLM {config.llm.spec} has the weights {text.weights_sha256[:16]}…; the model was trained with "
            f"{config.llm.weights_sha256[:16]}… and would give other answers.",
            "Put the weights it was trained with in their place.",
        )
    llm = config.llm.model_copy(update={"weights_sha256": text.weights_sha256})
    return AudioLLM(config.model_copy(update={"llm": llm}), text, dim, tokens)


def save(directory: Path, model: AudioLLM, card: dict[str, Any]) -> None:
    """Write the checkpoint: fusion, CTC head, and what of the LLM may learn."""
    config = model.config.model_dump(mode="json") | {"dim": model.dim}
    save_checkpoint(directory, KIND, config, model.learned().state_dict(), card)


def load(directory: Path) -> tuple[AudioLLM, dict[str, Any]]:
    """The model of a checkpoint directory, in evaluation mode on the CPU, and its card. Raises `BadInput` where the
    directory is not such a checkpoint."""
    described, state, card = load_checkpoint(directory, KIND)
    dim = described.pop("dim", None)
    if type(dim) is not int or not 0 < dim <= _WIDEST:
        raise BadInput(f"{directory}: configuration 'dim': {dim!r:.40} is not a width of features.", "Train it again.")
    try:
        config = AudioLLMConfig.model_validate(described)
    except ValidationError as error:
        raise BadInput(f"{directory}: configuration {first_problem(error)}.", "Train it again.") from None
    model = build(config, dim, state.get(_TOKENS))
    restore(model, state, directory)
    return model.eval(), card


def restore(model: AudioLLM, state: dict[str, Tensor], directory: Path) -> None:
    """Put the state of a checkpoint into a model of its configuration."""
    try:
        model.learned().load_state_dict({name: _wide(tensor) for name, tensor in state.items()})
    except RuntimeError as error:
        raise BadInput(
            f"{directory}: the weights belong to another configuration ({mismatch(error)}).",
            "Copy the checkpoint again.",
        ) from error


def tokens_of(directory: Path) -> Tensor | None:
    """The vocabulary of a checkpoint's CTC head; None if it has none."""
    return load_checkpoint(directory, KIND)[1].get(_TOKENS)


def start_from(model: AudioLLM, directory: Path) -> list[str]:
    """Put what a checkpoint learned into a model, part by part where they are alike, and piece by piece what it learned
    of letters; returns the names that it did not have. Raises `BadInput` for a checkpoint whose fusion or tokenizer is
    another one."""
    state = load_checkpoint(directory, KIND)[1]
    if model.ctc is not None and model.ctc.spelling is not None and _SPELLING in state:
        texts = model.spellings(state[_TOKENS])
        try:
            state[_SPELLING] = model.ctc.spelling.with_learned(_wide(state[_SPELLING]), texts)
        except ValueError:
            raise BadInput(
                f"--init: {directory} hears the tokens of another LLM.", "Start from a model of this one."
            ) from None
    learned = model.learned()
    own = learned.state_dict()
    for name in (name for name in own if name.startswith("fusion.")):
        if name not in state or state[name].shape != own[name].shape:
            raise BadInput(f"--init: {directory} has another fusion ({name}).", "Start from a model of this recipe.")
    same = {name: _wide(state[name]) for name in own if name in state and state[name].shape == own[name].shape}
    learned.load_state_dict(own | same)
    return sorted(own.keys() - same.keys())


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
