"""Recognizers with an encoder and a decoder, tiny and random, written as `save_pretrained` writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.tiny_codecs import fill_codebooks
from support.tiny_text import bold, characters, louder
from support.tiny_tts import MIMI

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "encoder_num_hidden_layers": 1,
    "decoder_num_hidden_layers": 1,
    "encoder_num_attention_heads": 2,
    "decoder_num_attention_heads": 2,
}


def write(family: str, directory: Path) -> Path:
    """A checkpoint of a family of `WRITERS` in `directory`."""
    import torch

    torch.manual_seed(0)
    directory.mkdir(parents=True, exist_ok=True)
    WRITERS[family](directory)
    return directory


def save_whisper(directory: Path, like: str = "whisper-tiny.en") -> Path:
    """A random Whisper of the real class, with the tokenizer and the generation config of a shipped one."""
    import torch
    import transformers as T

    from speech_eval.adapters import checkpoints
    from speech_eval.assets.convert.whisper import convert

    source = checkpoints.converted(like, convert)
    config = T.WhisperConfig.from_pretrained(source)
    config.update({"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64})
    config.update({"decoder_ffn_dim": 64, "encoder_attention_heads": 1, "decoder_attention_heads": 1})
    torch.manual_seed(0)
    T.WhisperForConditionalGeneration(config).save_pretrained(directory)
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (directory / name).write_bytes((source / name).read_bytes())
    return directory


def _ids(tokenizer: Any) -> dict[str, int]:
    return {
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.eos_token_id,
    }


def _moonshine(directory: Path) -> None:
    import transformers as T

    tokenizer = characters()
    config = T.MoonshineConfig(vocab_size=len(tokenizer), **SMALL, **_ids(tokenizer), tie_word_embeddings=False)
    bold(T.MoonshineForConditionalGeneration(config)).save_pretrained(directory)
    extractor = T.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    T.Wav2Vec2Processor(extractor, tokenizer).save_pretrained(directory)


def _kyutai(directory: Path) -> None:
    import transformers as T

    tokenizer = characters()
    size = len(tokenizer)
    config = T.KyutaiSpeechToTextConfig(
        codebook_vocab_size=65,
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=64,
        num_codebooks=4,
        audio_bos_token_id=64,
        audio_pad_token_id=size + 65 * 4,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=0,
        codec_config=MIMI,
        sliding_window=50,
        tie_word_embeddings=False,
    )
    model = fill_codebooks(T.KyutaiSpeechToTextForConditionalGeneration(config))
    louder(model).lm_head.weight.data[97:] = 0
    model.save_pretrained(directory)
    T.KyutaiSpeechToTextProcessor(T.KyutaiSpeechToTextFeatureExtractor(), tokenizer).save_pretrained(directory)


PARAKEET = {
    "model_type": "parakeet_encoder",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_kernel_size": 3,
    "num_mel_bins": 16,
    "subsampling_conv_channels": 8,
    "num_key_value_heads": 2,
}
DECODER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
}


def _moonshine_streaming(directory: Path) -> None:
    import transformers as T

    tokenizer = characters()
    encoder = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = T.MoonshineStreamingConfig(
        encoder_config={**encoder, "num_hidden_layers": 1, "sliding_windows": [[16, 4]]},
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        **_ids(tokenizer),
    )
    bold(T.MoonshineStreamingForConditionalGeneration(config)).save_pretrained(directory)
    extractor = T.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    T.MoonshineStreamingProcessor(extractor, tokenizer).save_pretrained(directory)


def _canary(directory: Path) -> None:
    import transformers as T

    tokenizer = characters("<|startofcontext|>", "<|en|>", "<|de|>", "<|pnc|>", "<|nopnc|>")
    ids = {**_ids(tokenizer), "decoder_start_token_id": tokenizer.convert_tokens_to_ids("<|startofcontext|>")}
    config = T.CanaryConfig(
        encoder_config={**PARAKEET, "hidden_size": DECODER["hidden_size"]},
        decoder_config={**DECODER, "vocab_size": len(tokenizer)},
        vocab_size=len(tokenizer),
        tie_word_embeddings=False,
        **ids,
    )
    template = (
        "<|startofcontext|>{% for c in messages[0].content %}{% if c.type == 'text' %}<|{{ c.source_language }}|>"
        "<|{{ c.target_language }}|>{{ '<|pnc|>' if c.punctuation else '<|nopnc|>' }}{% endif %}{% endfor %}"
    )
    bold(T.CanaryForConditionalGeneration(config)).save_pretrained(directory)
    extractor = T.ParakeetFeatureExtractor(feature_size=16)
    T.CanaryProcessor(extractor, tokenizer, chat_template=template).save_pretrained(directory)


def _cohere(directory: Path) -> None:
    import transformers as T

    marks = ("startofcontext", "startoftranscript", "emo:undefined", "en", "de", "pnc", "noitn", "notimestamp")
    tokenizer = characters("▁", *(f"<|{mark}|>" for mark in marks), "<|nodiarize|>")
    config = T.CohereAsrConfig(
        encoder_config=PARAKEET, vocab_size=len(tokenizer), **DECODER, **_ids(tokenizer), tie_word_embeddings=False
    )
    bold(T.CohereAsrForConditionalGeneration(config)).save_pretrained(directory)
    T.CohereAsrProcessor(T.CohereAsrFeatureExtractor(feature_size=16), tokenizer).save_pretrained(directory)


WRITERS: dict[str, Callable[[Path], None]] = {
    "moonshine": _moonshine,
    "moonshine_streaming": _moonshine_streaming,
    "kyutai_speech_to_text": _kyutai,
    "canary": _canary,
    "cohere_asr": _cohere,
}
