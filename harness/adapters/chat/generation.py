"""What the chat models of transformers share: sampling settings, the room in the context, one row of generation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speech_eval.adapters.checkpoints import seeded
from speech_eval.adapters.options import number, whole
from speech_eval.errors import BadInput, require

_LEAST = 32  # new tokens


def sampling(temperature: float, top_p: float, top_k: int) -> dict[str, Any]:
    """Settings of `generate`: greedy at temperature 0, whatever the checkpoint's own generation config says."""
    number("temperature", temperature)
    number("top_p", top_p, 0.0, 1.0, above=True)
    whole("top_k", top_k, 0)
    if temperature > 0:
        return {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": top_k}
    return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}


def stated(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that are set, for the manifest."""
    return {key: value for key, value in settings.items() if value is not None}


def room_for(name: str, length: int, new: int, config: Any) -> int:
    """How many of the `new` tokens fit after `length` ones into the positions of the text model.

    Raises `BadInput` where fewer than 32 do, and fewer than asked for.
    """
    limit = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    room = new if not limit else min(new, limit - length)
    if room < min(new, _LEAST):
        raise BadInput(
            f"{name}: {length} tokens leave no room for an answer in the {limit} positions of the model.",
            "Shorten the conversation or the recording, or ask for fewer new tokens.",
        )
    return room


def generate(model: Any, inputs: dict[str, Any], seed: int, new: int, settings: dict[str, Any]) -> Any:
    """The new ids of a single row [new]: inputs on the model's device, floats in its number type, drawn from `seed`.

    Greedy answers ignore the seed, those of encoders that draw noise (VibeVoice) too.
    """
    torch, placed = require("torch", "llm"), place(inputs, model)
    with torch.inference_mode(), seeded(seed if settings["do_sample"] else 0):
        answer = model.generate(**placed, max_new_tokens=new, **settings)
    return answer[0, placed["input_ids"].shape[1] :]


def place(inputs: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """The tensors of `inputs` on the model's device, floats in its number type."""
    torch = require("torch", "llm")
    return {
        key: value.to(model.device, model.dtype) if value.is_floating_point() else value.to(model.device)
        for key, value in inputs.items()
        if isinstance(value, torch.Tensor)
    }
