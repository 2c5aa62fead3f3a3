"""Speech generators of the real classes, tiny and random, written as `save_pretrained` writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.tiny_codecs import fill_codebooks
from support.tiny_text import characters, louder

MIMI = {
    "model_type": "mimi",
    "hidden_size": 16,
    "num_filters": 4,
    "codebook_size": 64,
    "codebook_dim": 8,
    "vector_quantization_hidden_dimension": 8,
    "num_quantizers": 4,
    "num_hidden_layers": 1,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "upsample_groups": 16,
}
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def write(family: str, directory: Path) -> Path:
    """A checkpoint of a family of `WRITERS` in `directory`."""
    import torch

    torch.manual_seed(0)
    directory.mkdir(parents=True, exist_ok=True)
    (_moshi if family == "moshi" else WRITERS[family])(directory)
    return directory


def _csm(directory: Path) -> None:
    import transformers as T

    tokenizer = characters("<|AUDIO|>", "<|audio_eos|>", "<|begin_of_text|>", "<|end_of_text|>")
    ids = tokenizer.convert_tokens_to_ids
    depth = {
        **SMALL,
        "num_codebooks": 4,
        "backbone_hidden_size": 32,
        "vocab_size": 67,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 5,
    }
    config = T.CsmConfig(
        **SMALL,
        num_codebooks=4,
        vocab_size=67,
        text_vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        codebook_pad_token_id=66,
        codebook_eos_token_id=0,
        bos_token_id=ids("<|begin_of_text|>"),
        audio_token_id=ids("<|AUDIO|>"),
        audio_eos_token_id=ids("<|audio_eos|>"),
        depth_decoder_config=depth,
        codec_config=MIMI,
    )
    template = (
        "{% for m in messages %}<|begin_of_text|>[{{ m.role }}]{% for c in m.content %}{% if c.type == 'text' %}"
        "{{ c.text }}<|end_of_text|>{% else %}<|AUDIO|><|audio_eos|>{% endif %}{% endfor %}{% endfor %}"
    )
    fill_codebooks(louder(T.CsmForConditionalGeneration(config)), std=0.003).save_pretrained(directory)
    extractor = T.EncodecFeatureExtractor(feature_size=1, sampling_rate=24_000)
    T.CsmProcessor(extractor, tokenizer, chat_template=template).save_pretrained(directory)


def save_dac(directory: Path) -> Any:
    """A DAC of 44.1 kHz and four codebooks, loaded from where it was saved."""
    import transformers as T

    config = T.DacConfig(
        encoder_hidden_size=4,
        downsampling_ratios=[2, 4, 8, 8],
        decoder_hidden_size=32,
        n_codebooks=4,
        codebook_size=32,
        codebook_dim=4,
        sampling_rate=44_100,
    )
    T.DacModel(config).save_pretrained(directory)
    return T.DacModel.from_pretrained(directory)


def _dia(directory: Path) -> None:
    import transformers as T

    narrow = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "head_dim": 8}
    text = {**narrow, "max_position_embeddings": 256, "num_key_value_heads": 2, "intermediate_size": 32}
    audio = {**narrow, "max_position_embeddings": 512, "num_key_value_heads": 1, "intermediate_size": 32}
    cross = {"cross_num_attention_heads": 2, "cross_head_dim": 8, "cross_num_key_value_heads": 2}
    ids = {"pad_token_id": 33, "eos_token_id": 32, "bos_token_id": 34}
    config = T.DiaConfig(
        encoder_config={**text, "vocab_size": 256},
        decoder_config={**audio, **cross, **ids, "cross_hidden_size": 16, "vocab_size": 36, "num_channels": 4},
        delay_pattern=[0, 2, 3, 4],
        **ids,
    )
    louder(T.DiaForConditionalGeneration(config)).save_pretrained(directory)
    extractor = T.DiaFeatureExtractor(feature_size=1, sampling_rate=44_100, hop_length=512)
    T.DiaProcessor(extractor, T.DiaTokenizer(), save_dac(directory / "codec")).save_pretrained(directory)


def save_higgs_tokenizer(directory: Path) -> Any:
    """The audio tokenizer of Higgs, loaded from where it was saved."""
    import transformers as T

    acoustic = {
        "encoder_hidden_size": 4,
        "downsampling_ratios": [8, 5, 4, 2, 3],
        "decoder_hidden_size": 64,
        "upsampling_ratios": [8, 5, 4, 2, 3],
        "hidden_size": 16,
    }
    semantic = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "conv_dim": [8] * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
    }
    config = T.HiggsAudioV2TokenizerConfig(
        acoustic_model_config=acoustic,
        semantic_model_config=semantic,
        codebook_size=32,
        codebook_dim=8,
        target_bandwidths=[0.5],
    )
    fill_codebooks(T.HiggsAudioV2TokenizerModel(config)).save_pretrained(directory)
    return T.HiggsAudioV2TokenizerModel.from_pretrained(directory)


def _higgs(directory: Path) -> None:
    import transformers as T

    codec = save_higgs_tokenizer(directory / "codec")
    tokenizer = characters(
        "<|AUDIO_OUT|>", "<|audio_out_bos|>", "<|audio_eos|>", "<|reserved_special_token_6|>", "<|begin_of_text|>"
    )
    ids = tokenizer.convert_tokens_to_ids
    config = T.HiggsAudioV2Config(
        **SMALL,
        vocab_size=len(tokenizer),
        head_dim=8,
        max_position_embeddings=1024,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=ids("<|begin_of_text|>"),
        num_codebooks=codec.config.num_quantizers,
        codebook_size=34,
        audio_token_id=ids("<|AUDIO_OUT|>"),
        audio_bos_token_id=ids("<|audio_out_bos|>"),
        audio_delay_token_id=ids("<|reserved_special_token_6|>"),
        audio_stream_bos_id=32,
        audio_stream_eos_id=33,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )
    template = (
        "{% for m in messages %}[{{ m.role }}]{% for c in m.content %}{% if c.type == 'audio' %}"
        "<|audio_out_bos|><|AUDIO_OUT|><|audio_eos|>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]<|audio_out_bos|>{% endif %}"
    )
    louder(T.HiggsAudioV2ForConditionalGeneration(config)).save_pretrained(directory)
    T.HiggsAudioV2Processor(
        T.DacFeatureExtractor(feature_size=1, sampling_rate=24_000, hop_length=960),
        tokenizer,
        codec,
        chat_template=template,
        audio_stream_bos_id=32,
        audio_stream_eos_id=33,
    ).save_pretrained(directory)


def _moshi(directory: Path) -> None:
    import transformers as T

    depth = {
        "vocab_size": 64,
        "hidden_size": 16,
        "input_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "audio_vocab_size": 64,
        "max_position_embeddings": 5,
        "ffn_dim": 32,
        "num_codebooks": 4,
    }
    config = T.MoshiConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        audio_vocab_size=64,
        ffn_dim=64,
        num_codebooks=4,
        audio_encoder_config=MIMI,
        depth_decoder_config=depth,
    )
    model = louder(T.MoshiForConditionalGeneration(config), besides="audio_encoder.")
    fill_codebooks(model, std=0.003).save_pretrained(directory)


WRITERS: dict[str, Callable[[Path], None]] = {"csm": _csm, "dia": _dia, "higgs_audio_v2": _higgs}
