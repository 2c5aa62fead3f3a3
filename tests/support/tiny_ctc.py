"""Recognizers with a CTC head, tiny and random, of the real classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

VOCABULARY = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
_SMALL = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "pad_token_id": 0,
}
_CONVS = {"conv_dim": [32] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}


def _w2v2(norm: str) -> tuple[object, object]:
    config = transformers.Wav2Vec2Config(
        **_SMALL, **_CONVS, feat_extract_norm=norm, do_stable_layer_norm=norm == "layer"
    )
    return transformers.Wav2Vec2ForCTC(config), transformers.Wav2Vec2FeatureExtractor(
        return_attention_mask=norm == "layer"
    )


def _hubert() -> tuple[object, object]:
    config = transformers.HubertConfig(**_SMALL, **_CONVS, feat_extract_norm="layer", do_stable_layer_norm=True)
    return transformers.HubertForCTC(config), transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)


def _wavlm() -> tuple[object, object]:
    config = transformers.WavLMConfig(**_SMALL, **_CONVS, feat_extract_norm="layer", do_stable_layer_norm=True)
    return transformers.WavLMForCTC(config), transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)


def _w2v_bert(adapter: bool) -> tuple[object, object]:
    config = transformers.Wav2Vec2BertConfig(**_SMALL, add_adapter=adapter, output_hidden_size=32)
    return transformers.Wav2Vec2BertForCTC(config), transformers.SeamlessM4TFeatureExtractor()


def _like_wav2vec2(name: str) -> tuple[object, object]:
    """Another encoder of the same shape: the class of transformers is named after `name`."""
    config = getattr(transformers, f"{name}Config")(**_SMALL, **_CONVS, feat_extract_norm="layer")
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    return getattr(transformers, f"{name}ForCTC")(config), extractor


def _parakeet() -> tuple[object, object]:
    encoder = {key: value for key, value in _SMALL.items() if key not in ("vocab_size", "pad_token_id")}
    shape = {"conv_kernel_size": 3, "num_mel_bins": 80, "subsampling_conv_channels": 8, "num_key_value_heads": 2}
    config = transformers.ParakeetCTCConfig(
        vocab_size=_SMALL["vocab_size"], pad_token_id=0, encoder_config=encoder | shape
    )
    return transformers.ParakeetForCTC(config), transformers.ParakeetFeatureExtractor(feature_size=80)


MODELS: dict[str, Callable[[], tuple[object, object]]] = {
    "wav2vec2-group": lambda: _w2v2("group"),
    "wav2vec2-layer": lambda: _w2v2("layer"),
    "hubert": _hubert,
    "wavlm": _wavlm,
    "wav2vec2-conformer": lambda: _like_wav2vec2("Wav2Vec2Conformer"),
    "unispeech-sat": lambda: _like_wav2vec2("UniSpeechSat"),
    "data2vec-audio": lambda: _like_wav2vec2("Data2VecAudio"),
    "parakeet": _parakeet,
    "wav2vec2-bert": lambda: _w2v_bert(adapter=False),
    "wav2vec2-bert-adapter": lambda: _w2v_bert(adapter=True),
}


def save_ctc(name: str, directory: Path) -> Path:
    """A random checkpoint of a real class. Its head is made bold, so that frames differ in their likeliest symbol."""
    torch.manual_seed(0)
    model, extractor = MODELS[name]()
    if name == "parakeet":
        for weight in model.parameters():  # type: ignore[attr-defined]
            weight.data.mul_(20 if weight.dim() > 1 else 1)
    head = model.ctc_head if name == "parakeet" else model.lm_head  # type: ignore[attr-defined]
    for weight in head.parameters():
        weight.data.normal_(std=3.0 if weight.dim() > 1 else 0.0)
    model.save_pretrained(directory)  # type: ignore[attr-defined]
    extractor.save_pretrained(directory)  # type: ignore[attr-defined]
    vocabulary = directory / "vocab.json"
    vocabulary.write_text(json.dumps({symbol: i for i, symbol in enumerate(VOCABULARY)}))
    transformers.Wav2Vec2CTCTokenizer(str(vocabulary)).save_pretrained(directory)
    return directory
