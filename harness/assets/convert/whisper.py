"""CTranslate2 Whisper to a plain transformers directory: the same numbers under other names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_eval.assets.convert import ct2
from speech_eval.errors import BadInput, require

Tensors = dict[str, NDArray[np.generic]]


def convert(source: Path, target: Path) -> None:
    """Write the model of CTranslate2 directory `source` into the existing directory `target`.

    Weights keep the number type they are shipped in. Raises `BadInput` for files that are broken or no Whisper.
    """
    spec, tensors = ct2.read(source / "model.bin")
    if spec != "WhisperSpec":
        raise BadInput(f"{source}: a {spec} model, not Whisper.", "Give the directory of a converted Whisper.")
    try:
        options = json.loads((source / "config.json").read_text("utf-8"))
        tokenizer = require("tokenizers", "asr").Tokenizer.from_file(str(source / "tokenizer.json"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{source}: not a whole CTranslate2 Whisper ({error}).", "Fetch it again.") from error
    save = require("safetensors.numpy", "asr").save_file
    weights = {name: np.ascontiguousarray(tensor) for name, tensor in _rename(tensors)}
    save(weights, target / "model.safetensors", metadata={"format": "pt"})
    _model_config(tensors, tokenizer).save_pretrained(target)
    _generation_config(options, tokenizer).save_pretrained(target)
    _save_processor(tensors["encoder/conv1/weight"].shape[1], tokenizer, target)


# ------------------------------------------------------------------------------------------------- weights


def _rename(tensors: Tensors) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """All parameters under their names in transformers. The output layer is tied to the embedding and left out."""
    for conv in ("conv1", "conv2"):
        yield from _pair(tensors, f"encoder/{conv}", f"model.encoder.{conv}", "weight", "bias")
    for part in ("encoder", "decoder"):
        encodings = tensors[f"{part}/position_encodings/encodings"]
        yield f"model.{part}.embed_positions.weight", encodings
        yield from _pair(tensors, f"{part}/layer_norm", f"model.{part}.layer_norm", "gamma", "beta")
        for layer in range(_layers(tensors, part)):
            yield from _layer(tensors, f"{part}/layer_{layer}", f"model.{part}.layers.{layer}")
    yield "model.decoder.embed_tokens.weight", tensors["decoder/embeddings/weight"]


def _pair(
    tensors: Tensors, source: str, target: str, weight: str, bias: str
) -> Iterator[tuple[str, NDArray[np.generic]]]:
    yield f"{target}.weight", tensors[f"{source}/{weight}"]
    yield f"{target}.bias", tensors[f"{source}/{bias}"]


def _layer(tensors: Tensors, source: str, target: str) -> Iterator[tuple[str, NDArray[np.generic]]]:
    yield from _pair(tensors, f"{source}/self_attention/layer_norm", f"{target}.self_attn_layer_norm", "gamma", "beta")
    fused = f"{source}/self_attention/linear_0"
    yield from _projections(tensors, fused, f"{target}.self_attn", "qkv")
    out = f"{source}/self_attention/linear_1"
    yield from _pair(tensors, out, f"{target}.self_attn.out_proj", "weight", "bias")
    if f"{source}/attention/linear_0/weight" in tensors:
        cross = f"{source}/attention"
        yield from _pair(tensors, f"{cross}/layer_norm", f"{target}.encoder_attn_layer_norm", "gamma", "beta")
        yield from _projections(tensors, f"{cross}/linear_0", f"{target}.encoder_attn", "q")
        yield from _projections(tensors, f"{cross}/linear_1", f"{target}.encoder_attn", "kv")
        yield from _pair(tensors, f"{cross}/linear_2", f"{target}.encoder_attn.out_proj", "weight", "bias")
    yield from _pair(tensors, f"{source}/ffn/layer_norm", f"{target}.final_layer_norm", "gamma", "beta")
    yield from _pair(tensors, f"{source}/ffn/linear_0", f"{target}.fc1", "weight", "bias")
    yield from _pair(tensors, f"{source}/ffn/linear_1", f"{target}.fc2", "weight", "bias")


def _projections(tensors: Tensors, source: str, target: str, letters: str) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Take apart projections that CTranslate2 stacks into one matrix. Whisper's key projection has no bias."""
    weights = np.split(tensors[f"{source}/weight"], len(letters))
    biases = np.split(tensors[f"{source}/bias"], len(letters))
    for letter, weight, bias in zip(letters, weights, biases, strict=True):
        yield f"{target}.{letter}_proj.weight", weight
        if letter != "k":
            yield f"{target}.{letter}_proj.bias", bias


def _layers(tensors: Tensors, part: str) -> int:
    found = (re.match(rf"{part}/layer_(\d+)/", name) for name in tensors)
    return 1 + max(int(match.group(1)) for match in found if match)


# -------------------------------------------------------------------------------------------- configuration


def _token(tokenizer: Any, name: str) -> int:
    number = tokenizer.token_to_id(f"<|{name}|>")
    if number is None:
        raise BadInput(f"The tokenizer has no token <|{name}|>.", "Give the tokenizer.json that came with the model.")
    return int(number)


def _is_multilingual(tokenizer: Any) -> bool:
    # English-only vocabularies are one token shorter: there <|endoftext|> is 50256.
    return _token(tokenizer, "endoftext") == 50257


def _model_config(tensors: Tensors, tokenizer: Any) -> Any:
    """Sizes read off the tensors; every Whisper has heads of 64 dimensions."""
    width, mels, _ = tensors["encoder/conv1/weight"].shape
    end, start = _token(tokenizer, "endoftext"), _token(tokenizer, "startoftranscript")
    return require("transformers", "asr").WhisperConfig(
        architectures=["WhisperForConditionalGeneration"],
        vocab_size=tensors["decoder/embeddings/weight"].shape[0],
        num_mel_bins=mels,
        d_model=width,
        encoder_layers=_layers(tensors, "encoder"),
        decoder_layers=_layers(tensors, "decoder"),
        encoder_attention_heads=width // 64,
        decoder_attention_heads=width // 64,
        encoder_ffn_dim=tensors["encoder/layer_0/ffn/linear_0/weight"].shape[0],
        decoder_ffn_dim=tensors["decoder/layer_0/ffn/linear_0/weight"].shape[0],
        max_source_positions=tensors["encoder/position_encodings/encodings"].shape[0],
        max_target_positions=tensors["decoder/position_encodings/encodings"].shape[0],
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=start,
    )


def _generation_config(options: dict[str, Any], tokenizer: Any) -> Any:
    """Whisper's decoding rules. Built apart from the model's config, or reloading would drop the extra entries."""
    stated = {
        "suppress_tokens": options["suppress_ids"],
        "begin_suppress_tokens": options["suppress_ids_begin"],
        "alignment_heads": options["alignment_heads"],
    }
    settings = decoding_rules(tokenizer) | stated
    return require("transformers", "asr").GenerationConfig(**settings)


def decoding_rules(tokenizer: Any) -> dict[str, Any]:
    """What `generation_config.json` of the published Whispers says, read off a tokenizer of the package `tokenizers`.

    Raises `BadInput` naming a token that the tokenizer lacks.
    """
    whisper = require("transformers.models.whisper.configuration_whisper", "asr")
    end, multilingual = _token(tokenizer, "endoftext"), _is_multilingual(tokenizer)
    symbols = whisper.NON_SPEECH_TOKENS_MULTI if multilingual else whisper.NON_SPEECH_TOKENS
    translate = _token(tokenizer, "translate")  # and, behind it: transcribe, startoflm, startofprev, nospeech
    settings: dict[str, Any] = {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": _token(tokenizer, "startoftranscript"),
        "max_length": 448,
        "suppress_tokens": [*(id for id in symbols if id < end), end + 1, *range(translate, translate + 5)],
        "begin_suppress_tokens": [220, end],  # a space
        "is_multilingual": multilingual,
        "no_timestamps_token_id": _token(tokenizer, "notimestamps"),
        "prev_sot_token_id": _token(tokenizer, "startofprev"),
        "return_timestamps": False,
        "max_initial_timestamp_index": 50,
    }
    if multilingual:
        tasks = {"translate": translate, "transcribe": _token(tokenizer, "transcribe")}
        names = [tokenizer.id_to_token(number) for number in range(end + 2, translate)]
        # Without a default task, generation leaves <|transcribe|> out of the prompt and babbles.
        settings |= {
            "task": "transcribe",
            "task_to_id": tasks,
            "lang_to_id": {name: _token(tokenizer, name[2:-2]) for name in names},
        }
    return settings


def _save_processor(mels: int, tokenizer: Any, target: Path) -> None:
    transformers, tokenizers = require("transformers", "asr"), require("tokenizers", "asr")
    end = "<|endoftext|>"
    specials = [
        tokenizers.AddedToken(token.content, special=True, normalized=False)
        for _, token in sorted(tokenizer.get_added_tokens_decoder().items())
    ]
    fast = transformers.WhisperTokenizer(
        tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end, pad_token=end
    )
    fast.add_tokens(specials, special_tokens=True)
    extractor = transformers.WhisperFeatureExtractor(feature_size=mels)
    transformers.WhisperProcessor(feature_extractor=extractor, tokenizer=fast).save_pretrained(target)
