"""Builds a model from a configuration, saves it as a checkpoint directory, and loads it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.tokenizer import StreamTokenizer
from speech_eval.reference_models.training.checkpoint import load_checkpoint, restored, save_checkpoint
from speech_eval.reference_models.training.config import first_problem
from speech_eval.reference_models.tts.config import HubCore, TTSConfig
from speech_eval.reference_models.tts.delay_lm import DelayLM
from speech_eval.reference_models.tts.frame_lm import FrameLM
from speech_eval.reference_models.tts.model import SpeechLM, extend
from speech_eval.reference_models.tts.published import PublishedTokenizer, family_of

TOKENIZER = "tokenizer"
TokenLM = SpeechLM | FrameLM | DelayLM


def build(config: TTSConfig) -> TokenLM:
    """A new model in float32, whatever a text LLM was stored in: half of the weights of a bfloat16 model are too coarse
    for an update to move them. The new rows of a text LLM's embedding and head are the mean of the old."""
    if config.in_rows:
        return FrameLM(config) if config.layout == "csm" else DelayLM(config)
    if not isinstance(config.core, HubCore):
        return SpeechLM(config)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    core = config.core
    try:
        tokenizer = AutoTokenizer.from_pretrained(core.name, revision=core.revision)
        lm = AutoModelForCausalLM.from_pretrained(
            core.name, revision=core.revision, dtype=torch.float32, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise BadInput(f"The text LLM {core.name}: {first}", "Check the name and the network.") from error
    return _speaking(config, lm, tokenizer)


def read_config(directory: Path, described: dict[str, Any]) -> TTSConfig:
    """The configuration that a checkpoint directory describes. Raises `BadInput` where it does not describe one."""
    try:
        return TTSConfig.model_validate(described)
    except ValidationError as error:
        raise BadInput(f"{directory}: configuration {first_problem(error)}.", "Train it again.") from None


def load(directory: Path) -> tuple[TokenLM, dict[str, Any]]:
    """The model of a checkpoint directory, in evaluation mode on the CPU, and its card. Raises `BadInput` where the
    directory is not such a checkpoint, or its table of ids differs from the one its configuration gives."""
    described, state, card = load_checkpoint(directory, "tts")
    config = read_config(directory, described)
    return _restored(directory, config, config.vocabulary, state).eval(), card


def start_from(directory: Path, config: TTSConfig) -> TokenLM:
    """A model of `config` with the weights of a checkpoint directory of the same layout, to be trained on. Raises
    `BadInput` as `load` does."""
    described, state, _ = load_checkpoint(directory, "tts")
    return _restored(directory, config, read_config(directory, described).vocabulary, state)


def _restored(directory: Path, config: TTSConfig, vocabulary: str, state: dict[str, Any]) -> TokenLM:
    """A model with the state of a checkpoint, whose table of ids has the digest `vocabulary`."""

    def own(model: TokenLM) -> dict[str, Any]:
        model.tokenizer.vocabulary.check(vocabulary, str(directory))
        return _ours(model, state)

    return restored(directory, lambda: _empty(config, directory), own)


def save(directory: Path, model: TokenLM, state: dict[str, Any], card: dict[str, Any]) -> None:
    """Write the checkpoint, with the tokenizer of a text LLM beside it."""
    save_checkpoint(directory, "tts", model.config.model_dump(mode="json"), state, card)
    if model.tokenizer.text_tokenizer is not None:
        model.tokenizer.text_tokenizer.save_pretrained(directory / TOKENIZER)


def _ours(model: TokenLM, state: dict[str, Any]) -> dict[str, Any]:
    """A state by the names of this project, if it has those of transformers, which leave a tied head out."""
    if not isinstance(model, SpeechLM) or any(name.startswith("core.") for name in state):
        return state
    named = {f"core.{name}": tensor for name, tensor in state.items()}
    if model.core.config.tie_word_embeddings and "core.lm_head.weight" not in named:
        named["core.lm_head.weight"] = named["core.model.embed_tokens.weight"]
    return named


def _empty(config: TTSConfig, directory: Path) -> TokenLM:
    """The architecture alone, without asking a hub."""
    if not isinstance(config.core, HubCore):
        return build(config)
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    if config.core.architecture is None:
        raise BadInput(f"{directory}: the text LLM's architecture is missing.", "Train it again.")
    lm = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config.core.architecture), dtype=torch.float32)
    return _speaking(config, lm, AutoTokenizer.from_pretrained(_tokenizer(directory)))


def _tokenizer(directory: Path) -> Path:
    """Where a text LLM's tokenizer is: beside the weights in an exported model."""
    return directory / TOKENIZER if (directory / TOKENIZER).is_dir() else directory


def _speaking(config: TTSConfig, lm: Any, tokenizer: Any) -> SpeechLM:
    scaled = [name for name in ("final_logit_softcapping", "logits_scaling") if getattr(lm.config, name, None)]
    if scaled:
        raise BadInput(f"This text LLM rescales its logits ({scaled[0]}).", "Use a Llama, Qwen or Mistral model.")
    assert isinstance(config.core, HubCore)
    family = family_of(tokenizer, lm.get_input_embeddings().num_embeddings)
    if family != config.core.family:
        raise BadInput(
            f"{config.core.name} speaks already: it has the speech tokens of {family}.",
            f"Start from it: --init {config.core.name}. Or name a text LLM.",
        )
    core = config.core.model_copy(update={"architecture": _plain(lm)})
    config = config.model_copy(update={"core": core})
    if family is not None:
        return SpeechLM(config, lm, PublishedTokenizer(config, lm, tokenizer))
    base = lm.get_input_embeddings().num_embeddings
    model = SpeechLM(config, lm, StreamTokenizer(config, config.core.positions, tokenizer, base))
    extend(lm, len(model.tokenizer.vocabulary) - base)
    return model


def _plain(lm: nn.Module) -> dict[str, Any]:
    architecture = dict(lm.config.to_diff_dict())  # type: ignore[operator, union-attr]
    return {key: value for key, value in architecture.items() if key not in ("_name_or_path", "transformers_version")}
