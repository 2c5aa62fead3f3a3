"""Generators without codes or with stages: Pocket TTS, VibeVoice, Bark and SpeechT5, tiny and random."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from support.tiny_codecs import fill_codebooks
from support.tiny_text import QWEN2, characters, louder

_SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


def write(family: str, directory: Path) -> Path:
    """A checkpoint of a family of `WRITERS` in `directory`."""
    import torch

    torch.manual_seed(0)
    directory.mkdir(parents=True, exist_ok=True)
    WRITERS[family](directory)
    return directory


def _pocket(directory: Path) -> None:
    import transformers as T

    marks = {
        "audio_prompt_token": "<voice>",
        "audio_latent_token": "<latent>",
        "audio_prompt_bos_token": "<voice_bos>",
        "audio_bos_token": "<audio_bos>",
    }
    tokenizer = characters(**marks)
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(mark) for name, mark in marks.items()}
    config = T.PocketTTSConfig(
        **_SMALL,
        **ids,
        vocab_size=len(tokenizer),
        latent_dim=8,
        max_position_embeddings=256,
        flow_head_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "latent_dim": 8,
            "condition_dim": 32,
            "frequency_embedding_size": 16,
        },
    )
    louder(T.PocketTTSForConditionalGeneration(config)).save_pretrained(directory)
    codec = T.PocketTTSAudioTokenizerConfig(
        **_SMALL, num_filters=4, latent_dim=8, upsample_groups=32, num_key_value_heads=2, head_dim=16
    )
    tokenizer_model = T.PocketTTSAudioTokenizerModel(codec)
    for weight in list(tokenizer_model.decoder.parameters())[-2:]:
        weight.data.mul_(0.05)  # so that random latents stay in [-1, 1]
    tokenizer_model.save_pretrained(directory / "codec")
    template = (
        "{% for m in messages %}{% for c in m.content %}{% if c.type == 'audio' %}<voice_bos><voice>{% else %}"
        "{{ c.text }}{% endif %}{% endfor %}{% endfor %}<audio_bos>"
    )
    loaded = T.PocketTTSAudioTokenizerModel.from_pretrained(directory / "codec")
    T.PocketTTSProcessor(T.PocketTTSFeatureExtractor(), tokenizer, loaded, chat_template=template).save_pretrained(
        directory
    )


def _vibevoice(directory: Path) -> None:
    import transformers as T

    tokenizer = characters("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>")
    ids = tokenizer.convert_tokens_to_ids
    tower = {"hidden_size": 8, "num_filters": 4, "depths": [1] * 7}
    config = T.VibeVoiceConfig(
        audio_config={"model_type": "vibevoice_acoustic_tokenizer", **tower},
        semantic_model_config={"model_type": "vibevoice_acoustic_tokenizer_encoder", **tower},
        text_config={**QWEN2, "vocab_size": len(tokenizer), "max_position_embeddings": 256},
        diffusion_head_config={
            "hidden_size": 32,
            "latent_size": 8,
            "num_hidden_layers": 1,
            "intermediate_size": 64,
            "frequency_embedding_size": 16,
        },
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        audio_bos_token_id=ids("<|vision_start|>"),
        audio_eos_token_id=ids("<|vision_end|>"),
        audio_token_id=ids("<|vision_pad|>"),
    )
    model = louder(T.VibeVoiceForConditionalGeneration(config), besides="-")
    _talkative(model, config.audio_token_id)
    model.generation_config.guidance_scale = 1.3
    model.generation_config.num_diffusion_steps = 3
    model.save_pretrained(directory)
    template = (
        "{% for m in messages %}{% for c in m.content %}{% if c.type == 'audio' %}"
        "<|vision_start|><|vision_pad|><|vision_end|>{% else %}Speaker {{ m.role }}:{{ c.text }}\n{% endif %}"
        "{% endfor %}{% endfor %}<|vision_start|>"
    )
    extractor = T.VibeVoiceAcousticTokenizerFeatureExtractor()
    T.VibeVoiceProcessor(extractor, tokenizer, chat_template=template).save_pretrained(directory)


def _talkative(model: Any, audio: int) -> None:
    """Let a VibeVoice choose another frame at every step: a constant in what it reads points to the audio token."""
    body = model.model
    body.language_model.embed_tokens.weight.data[:, 0] = 1
    for name, bias in model.named_parameters():
        if name.endswith("bias") and ("multi_modal_projector" in name or "semantic_connector" in name):
            bias.data[0] = 1
    head = model.get_output_embeddings().weight.data
    head.zero_()
    head[audio, 0] = 1


def _bark(directory: Path) -> None:
    import transformers as T

    tokenizer = characters()
    sizes = {"num_layers": 1, "num_heads": 2, "hidden_size": 16}
    semantic = {**sizes, "block_size": 192, "input_vocab_size": 160, "output_vocab_size": 40}
    coarse = {**sizes, "block_size": 256, "input_vocab_size": 80, "output_vocab_size": 80}
    fine = {**sizes, "block_size": 1024, "input_vocab_size": 17, "output_vocab_size": 17}
    codec = {"num_filters": 4, "hidden_size": 16, "codebook_size": 16, "codebook_dim": 16}
    config = T.BarkConfig(
        semantic_config=semantic,
        coarse_acoustics_config=coarse,
        fine_acoustics_config={**fine, "n_codes_total": 4, "n_codes_given": 1},
        codec_config=T.EncodecConfig(**codec, target_bandwidths=[1.2]).to_dict(),
    )
    model = fill_codebooks(louder(T.BarkModel(config)), std=0.1)
    model.generation_config = T.GenerationConfig(
        semantic_config={
            "eos_token_id": 32,
            "text_encoding_offset": 40,
            "text_pad_token": 158,
            "semantic_infer_token": 159,
            "semantic_vocab_size": 32,
            "max_input_semantic_length": 128,
            "do_sample": True,
        },
        coarse_acoustics_config={
            "coarse_semantic_pad_token": 70,
            "coarse_infer_token": 71,
            "max_coarse_input_length": 16,
            "max_coarse_history": 60,
            "do_sample": True,
        },
        fine_acoustics_config={"n_fine_codebooks": 4, "temperature": 0.5},
        sample_rate=24_000,
        codebook_size=16,
    )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    voices = directory / "speaker_embeddings"
    voices.mkdir(exist_ok=True)
    draw = np.random.default_rng(0)
    shapes = {"semantic_prompt": (60,), "coarse_prompt": (2, 90), "fine_prompt": (4, 90)}
    for part, shape in shapes.items():
        np.save(voices / f"one_{part}.npy", draw.integers(0, 16, shape))
    listed = {part: f"speaker_embeddings/one_{part}.npy" for part in shapes}
    (directory / "speaker_embeddings_path.json").write_text(json.dumps({"repo_or_path": "x", "v2/one": listed}))


def _speecht5(directory: Path) -> None:
    import sentencepiece
    import transformers as T

    letters = "abcdefghijklmnopqrstuvwxyz ,.'"
    with (directory / "spm_char.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([letters] * 20), model_writer=file, model_type="char", vocab_size=34,
            bos_id=0, pad_id=1, eos_id=2, unk_id=3, minloglevel=2,
        )  # fmt: skip
    tokenizer = T.SpeechT5Tokenizer(str(directory / "spm_char.model"))
    config = T.SpeechT5Config(
        vocab_size=len(tokenizer) + 1,
        hidden_size=24,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=1,
        decoder_ffn_dim=32,
        decoder_attention_heads=2,
        conv_dim=[16] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        speech_decoder_prenet_units=16,
        speech_decoder_postnet_units=16,
        speaker_embedding_dim=8,
    )
    model = louder(T.SpeechT5ForTextToSpeech(config))
    model.speech_decoder_postnet.prob_out.bias.data.fill_(-6)  # so that it speaks more than a frame
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    louder(T.SpeechT5HifiGan(T.SpeechT5HifiGanConfig(upsample_initial_channel=16)), 20).save_pretrained(
        directory / "vocoder"
    )


WRITERS: dict[str, Callable[[Path], None]] = {
    "pocket_tts": _pocket,
    "vibevoice": _vibevoice,
    "bark": _bark,
    "speecht5": _speecht5,
}
