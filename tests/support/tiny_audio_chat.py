"""Audio language models of the real classes, tiny and random, written as `save_pretrained` writes them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.tiny_text import QWEN2, bold, characters, chatml

MARKS = ("<|im_start|>", "<|im_end|>")
MELS = 16


def write(family: str, directory: Path) -> Path:
    """A checkpoint of a family of `WRITERS` in `directory`."""
    import torch

    torch.manual_seed(0)
    directory.mkdir(parents=True, exist_ok=True)
    WRITERS[family](directory)
    return directory


def _save(directory: Path, model: Any, processor: Any) -> None:
    bold(model).save_pretrained(directory)
    processor.save_pretrained(directory)


def _whisper_features() -> Any:
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=MELS)


def _encoder(name: str, **changes: Any) -> dict[str, Any]:
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "hidden_size": 16}
    return {"model_type": name, "num_mel_bins": MELS, **sizes, **changes}


def _qwen2_audio(directory: Path) -> None:
    import transformers as T

    tokenizer = characters("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", *MARKS)
    heard = {"num_mel_bins": MELS, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    config = T.Qwen2AudioConfig(
        audio_config={"model_type": "qwen2_audio_encoder", "d_model": 16, **heard},
        text_config={**QWEN2, "vocab_size": len(tokenizer)},
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    # Without a template of its own: the processor has one for published checkpoints that lack it.
    _save(
        directory, T.Qwen2AudioForConditionalGeneration(config), T.Qwen2AudioProcessor(_whisper_features(), tokenizer)
    )


def _audioflamingo3(directory: Path) -> None:
    import transformers as T

    tokenizer = characters("<sound>", *MARKS)
    config = T.AudioFlamingo3Config(
        audio_config=_encoder("audioflamingo3_encoder"),
        text_config={**QWEN2, "vocab_size": len(tokenizer)},
        audio_token_id=tokenizer.convert_tokens_to_ids("<sound>"),
    )
    processor = T.AudioFlamingo3Processor(
        _whisper_features(), tokenizer, chat_template=chatml("<sound>"), max_audio_len=60
    )
    _save(directory, T.AudioFlamingo3ForConditionalGeneration(config), processor)


def _musicflamingo(directory: Path) -> None:
    import transformers as T

    tokenizer = characters("<sound>", "<|sound_bos|>", "<|sound_eos|>", *MARKS)
    ids = tokenizer.convert_tokens_to_ids
    config = T.MusicFlamingoConfig(
        audio_config=_encoder("audioflamingo3_encoder", hidden_size=32),
        text_config={**QWEN2, "vocab_size": len(tokenizer)},
        audio_token_id=ids("<sound>"),
        audio_bos_token_id=ids("<|sound_bos|>"),
        audio_eos_token_id=ids("<|sound_eos|>"),
    )
    processor = T.MusicFlamingoProcessor(
        _whisper_features(), tokenizer, chat_template=chatml("<sound>"), max_audio_len=60
    )
    _save(directory, T.MusicFlamingoForConditionalGeneration(config), processor)


def granite_model(tokenizer: Any, lora: bool = False) -> Any:
    """A tiny Granite Speech, whose config may name a LoRA adapter."""
    import transformers as T

    encoder = {"input_dim": 160, "num_layers": 2, "hidden_dim": 16, "num_heads": 2, "dim_head": 8, "output_dim": 8}
    projector = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = T.GraniteSpeechConfig(
        text_config={**QWEN2, "model_type": "granite", "vocab_size": len(tokenizer)},
        encoder_config={**encoder, "context_size": 20, "max_pos_emb": 32, "conv_kernel_size": 3},
        projector_config={
            "model_type": "blip_2_qformer",
            "encoder_hidden_size": 16,
            "cross_attention_frequency": 1,
            **projector,
        },
        audio_token_index=tokenizer.convert_tokens_to_ids("<|audio|>"),
        has_lora_adapter=lora,
        downsample_rate=5,
        window_size=15,
        tie_word_embeddings=False,
    )
    return T.GraniteSpeechForConditionalGeneration(config)


def _granite_speech(directory: Path) -> None:
    from transformers import GraniteSpeechProcessor

    from speech_eval.adapters.chat.granite_features import extractor_class

    tokenizer = characters("<|audio|>", *MARKS)
    processor = GraniteSpeechProcessor(extractor_class()(), tokenizer, chat_template=chatml("<|audio|>"))
    _save(directory, granite_model(tokenizer), processor)


def tekken(path: Path) -> None:
    """A `tekken.json` of 256 bytes and the special tokens that Voxtral uses."""
    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"]
    special += ["[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]"]
    special += ["[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"]
    special += [f"<SPECIAL_{i}>" for i in range(20, 24)] + ["[AUDIO]", "[BEGIN_AUDIO]"]
    special += [f"<SPECIAL_{i}>" for i in range(26, 32)] + ["[ARGS]", "[CALL_ID]", "[TRANSCRIBE]"]
    special += ["[STREAMING_PAD]", "[STREAMING_WORD]"]
    special += [f"<SPECIAL_{i}>" for i in range(len(special), 40)]
    content = {
        "config": {
            "pattern": r"[\s\S]",
            "num_vocab_tokens": 256,
            "default_vocab_size": 296,
            "default_num_special_tokens": 40,
            "version": "v11",
        },
        "vocab": [
            {"rank": i, "token_bytes": base64.b64encode(bytes([i])).decode(), "token_str": None} for i in range(256)
        ],
        "special_tokens": [{"rank": i, "token_str": token, "is_control": True} for i, token in enumerate(special)],
        "audio": {
            "sampling_rate": 16_000,
            "frame_rate": 12.5,
            "audio_encoding_config": {"num_mel_bins": MELS, "hop_length": 160, "window_size": 400},
            "chunk_length_s": 30.0,
        },
    }
    path.write_text(json.dumps(content))


def _voxtral(directory: Path) -> None:
    import transformers as T

    tekken(directory / "tekken.json")
    config = T.VoxtralConfig(
        audio_config=_encoder("voxtral_encoder", intermediate_size=64),
        text_config={**QWEN2, "model_type": "llama", "vocab_size": 296, "head_dim": 8}
        | {"pad_token_id": 11, "eos_token_id": 2},
        audio_token_id=24,
    )
    bold(T.VoxtralForConditionalGeneration(config), special=slice(0, 40)).save_pretrained(directory)
    T.VoxtralProcessor(_whisper_features(), T.MistralCommonBackend.from_pretrained(directory)).save_pretrained(
        directory
    )


def write_voxtral_realtime(directory: Path, delay_ms: int = 160) -> Path:
    """Voxtral Realtime that writes `delay_ms` behind the speech."""
    import torch
    import transformers as T

    torch.manual_seed(0)
    directory.mkdir(parents=True, exist_ok=True)
    tekken(directory / "tekken.json")
    described = json.loads((directory / "tekken.json").read_text())
    described["config"]["version"] = "v13"
    described["audio"] |= {
        "chunk_length_s": None,
        "transcription_format": "streaming",
        "transcription_delay_ms": delay_ms,
        "streaming_look_ahead_ms": 2.5,
        "streaming_look_back_ms": 52.5,
        "streaming_n_left_pad_tokens": 32,
    }
    (directory / "tekken.json").write_text(json.dumps(described))
    config = T.VoxtralRealtimeConfig(
        audio_config=_encoder("voxtral_realtime_encoder", intermediate_size=64, head_dim=8),
        text_config={**QWEN2, "model_type": "voxtral_realtime_text", "vocab_size": 296, "head_dim": 8}
        | {"pad_token_id": 11, "eos_token_id": 2, "tie_word_embeddings": False},
        tie_word_embeddings=False,
    )
    bold(T.VoxtralRealtimeForConditionalGeneration(config), special=slice(0, 40)).save_pretrained(directory)
    tokenizer = T.MistralCommonBackend.from_pretrained(directory)
    extractor = T.VoxtralRealtimeFeatureExtractor(feature_size=MELS)
    T.VoxtralRealtimeProcessor(extractor, tokenizer).save_pretrained(directory)
    return directory


def _vibevoice_asr(directory: Path) -> None:
    import transformers as T

    tokenizer = characters("<|box_start|>", "<|object_ref_start|>", "<|object_ref_end|>", *MARKS)
    ids = tokenizer.convert_tokens_to_ids
    encoder = {
        "model_type": "vibevoice_acoustic_tokenizer_encoder",
        "hidden_size": 8,
        "num_filters": 4,
        "depths": [1] * 7,
    }
    config = T.VibeVoiceAsrConfig(
        acoustic_tokenizer_encoder_config=encoder,
        semantic_tokenizer_encoder_config=encoder,
        text_config={**QWEN2, "vocab_size": len(tokenizer)},
        audio_token_id=ids("<|box_start|>"),
        audio_bos_token_id=ids("<|object_ref_start|>"),
        audio_eos_token_id=ids("<|object_ref_end|>"),
        acoustic_tokenizer_chunk_size=64_000,
    )
    template = chatml("<|object_ref_start|><|box_start|><|object_ref_end|>")
    processor = T.VibeVoiceAsrProcessor(
        T.VibeVoiceAcousticTokenizerFeatureExtractor(), tokenizer, chat_template=template
    )
    _save(directory, T.VibeVoiceAsrForConditionalGeneration(config), processor)


def _qwen3_asr(directory: Path) -> None:
    import transformers as T

    named = {"audio_token": "<|audio_pad|>", "audio_bos_token": "<|audio_start|>", "audio_eos_token": "<|audio_end|>"}
    tokenizer = characters(*MARKS, **named)
    tokenizer.add_tokens(["<asr_text>"])  # no special token in published checkpoints either
    heard = {"num_mel_bins": MELS, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    config = T.Qwen3ASRConfig(
        audio_config={"model_type": "qwen3_asr_encoder", "d_model": 16, "downsample_hidden_size": 8, **heard}
        | {"output_dim": 32},
        text_config={**QWEN2, "model_type": "qwen3", "head_dim": 8, "vocab_size": len(tokenizer)},
        audio_token_id=tokenizer.convert_tokens_to_ids("<|audio_pad|>"),
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    template = chatml("<|audio_start|><|audio_pad|><|audio_end|>")
    processor = T.Qwen3ASRProcessor(T.Qwen3ASRFeatureExtractor(feature_size=MELS), tokenizer, chat_template=template)
    _save(directory, T.Qwen3ASRForConditionalGeneration(config), processor)


def _glmasr(directory: Path) -> None:
    import transformers as T

    tokenizer = characters("<|pad|>", *MARKS)
    config = T.GlmAsrConfig(
        audio_config=_encoder("glmasr_encoder", intermediate_size=64),
        text_config={**QWEN2, "model_type": "llama", "vocab_size": len(tokenizer)},
        audio_token_id=tokenizer.convert_tokens_to_ids("<|pad|>"),
        tie_word_embeddings=False,
    )
    processor = T.GlmAsrProcessor(_whisper_features(), tokenizer, chat_template=chatml("<|pad|>"), max_audio_len=60)
    _save(directory, T.GlmAsrForConditionalGeneration(config), processor)


def _fun_asr_nano(directory: Path) -> None:
    import transformers as T

    tokenizer = characters("<|object_ref_start|>", *MARKS)
    small = {"num_attention_heads": 2, "num_hidden_layers": 2}
    heard = {**small, "num_mel_bins": MELS, "hidden_size": 16, "intermediate_size": 32}
    config = T.FunAsrNanoConfig(
        audio_config={"model_type": "fun_asr_nano_encoder", **heard, "num_timestamp_prediction_layers": 1},
        adaptor_config={**small, "hidden_size": 32, "intermediate_size": 8, "projector_hidden_size": 32},
        text_config={**QWEN2, "model_type": "qwen3", "head_dim": 8, "vocab_size": len(tokenizer)},
        audio_token_id=tokenizer.convert_tokens_to_ids("<|object_ref_start|>"),
        tie_word_embeddings=False,
    )
    extractor = T.FunAsrNanoFeatureExtractor(feature_size=MELS)
    processor = T.FunAsrNanoProcessor(extractor, tokenizer, chat_template=chatml("<|object_ref_start|>"))
    _save(directory, T.FunAsrNanoForConditionalGeneration(config), processor)


def phi4_model(tokenizer: Any) -> Any:
    """A tiny Phi-4 Multimodal."""
    import transformers as T

    seen = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    heard = {"hidden_size": 16, "intermediate_size": 32, "num_blocks": 1, "num_attention_heads": 2}
    channels = {"ext_pw_out_channel": 16, "depthwise_separable_out_channel": 16, "nemo_conv_channels": 16}
    ids = tokenizer.convert_tokens_to_ids
    config = T.Phi4MultimodalConfig(
        **{key: value for key, value in QWEN2.items() if key != "model_type"},
        vocab_size=len(tokenizer),
        bos_token_id=98,
        max_position_embeddings=2048,
        original_max_position_embeddings=2048,
        tie_word_embeddings=False,
        vision_config={**seen, "image_size": 28, "patch_size": 14, "crop_size": 28, "image_token_id": ids("<|image|>")},
        audio_config={**heard, **channels, "input_size": MELS, "audio_token_id": ids("<|audio|>"), "feature_layer": -1},
    )
    return T.Phi4MultimodalForCausalLM(config)


def _phi4_multimodal(directory: Path) -> None:
    import transformers as T

    tokenizer = characters("<|image|>", "<|audio|>", *MARKS)
    tokenizer.chat_template = chatml("<|audio|>")
    bold(phi4_model(tokenizer)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    T.Phi4MultimodalFeatureExtractor(feature_size=MELS).save_pretrained(directory)


def _qwen3_omni(directory: Path) -> None:
    import transformers as T

    tokenizer = characters(
        "<|image_pad|>", "<|video_pad|>", "<|audio_pad|>", "<|audio_start|>", "<|audio_end|>", *MARKS
    )
    ids = tokenizer.convert_tokens_to_ids
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2], "mrope_interleaved": True}
    text = {key: value for key, value in QWEN2.items() if key != "model_type"}
    heard = {"num_mel_bins": MELS, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    seen = {"depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}
    config = T.Qwen3OmniMoeThinkerConfig(
        audio_config={**heard, "d_model": 16, "n_window": 50, "output_dim": 32, "downsample_hidden_size": 8},
        vision_config={**seen, "deepstack_visual_indexes": [0], "num_position_embeddings": 16},
        text_config={
            **text,
            "vocab_size": len(tokenizer),
            "head_dim": 8,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "rope_parameters": rope,
            "tie_word_embeddings": False,
        },
        audio_token_id=ids("<|audio_pad|>"),
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
        audio_start_token_id=ids("<|audio_start|>"),
        audio_end_token_id=ids("<|audio_end|>"),
        tie_word_embeddings=False,
    )
    bold(T.Qwen3OmniMoeThinkerForConditionalGeneration(config)).save_pretrained(directory)
    tokenizer.chat_template = chatml("<|audio_start|><|audio_pad|><|audio_end|>")
    tokenizer.save_pretrained(directory)
    _whisper_features().save_pretrained(directory)


def write_omni(directory: Path) -> Path:
    """Qwen2.5-Omni with a talker, a vocoder and the voice Chelsie."""
    import torch
    import transformers as T

    torch.manual_seed(0)
    named = {"audio_token": "<|AUDIO|>", "audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>"}
    tokenizer = characters("<|IMAGE|>", "<|VIDEO|>", "<|vision_bos|>", "<|vision_eos|>", *MARKS, **named)
    ids = tokenizer.convert_tokens_to_ids
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]}
    marks = {
        "audio_token_index": ids("<|AUDIO|>"),
        "image_token_index": ids("<|IMAGE|>"),
        "video_token_index": ids("<|VIDEO|>"),
        "audio_start_token_id": ids("<|audio_bos|>"),
        "audio_end_token_id": ids("<|audio_eos|>"),
        "vision_start_token_id": ids("<|vision_bos|>"),
        "vision_end_token_id": ids("<|vision_eos|>"),
    }
    text = {key: value for key, value in QWEN2.items() if key != "model_type"} | {"rope_parameters": rope}
    heard = {"num_mel_bins": MELS, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    seen = {"depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}
    thinker = {
        "audio_config": {**heard, "d_model": 16, "n_window": 25, "output_dim": 32},
        "vision_config": seen,
        "text_config": {**text, "vocab_size": len(tokenizer)},
        **marks,
    }
    spoken = {"text_start": 70, "text_end": 71, "text_pad": 72, "codec_start": 50, "codec_end": 51, "codec_pad": 52}
    talker = {
        **{key: value for key, value in text.items() if key not in ("pad_token_id", "eos_token_id")},
        **marks,
        **{f"tts_{name}_token_id": number for name, number in {**spoken, "codec_mask": 53}.items()},
        "vocab_size": 60,
        "embedding_size": 32,
        "head_dim": 8,
    }
    enhanced = {"enc_emb_dim": 8, "enc_dim": 8, "enc_channels": [16, 16, 16, 16, 48], "enc_attention_channels": 8}
    dit = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "emb_dim": 16,
        "head_dim": 16,
        "num_embeds": 60,
        "look_ahead_layers": [1],
        "look_backward_layers": [0],
        "enc_res2net_scale": 2,
        "enc_se_channels": 8,
    }
    config = T.Qwen2_5OmniConfig(
        thinker_config=thinker,
        talker_config=talker,
        token2wav_config={"dit_config": dit | enhanced, "bigvgan_config": {"upsample_initial_channel": 64}},
        enable_audio_output=True,
    )
    model = T.Qwen2_5OmniForConditionalGeneration(config)
    bold(model.thinker)
    directory.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(directory)
    voice = {"bos_token": 54, "cond": torch.randn(1, 8), "ref_mel": torch.randn(1, 30, 80)}
    torch.save({"Chelsie": voice}, directory / "spk_dict.pt")
    tokenizer.chat_template = chatml("<|audio_bos|><|AUDIO|><|audio_eos|>")
    tokenizer.save_pretrained(directory)
    _whisper_features().save_pretrained(directory)
    return directory


WRITERS: dict[str, Callable[[Path], None]] = {
    "qwen2_audio": _qwen2_audio,
    "audioflamingo3": _audioflamingo3,
    "musicflamingo": _musicflamingo,
    "granite_speech": _granite_speech,
    "voxtral": _voxtral,
    "vibevoice_asr": _vibevoice_asr,
    "qwen3_asr": _qwen3_asr,
    "glmasr": _glmasr,
    "fun_asr_nano": _fun_asr_nano,
    "phi4_multimodal": _phi4_multimodal,
    "qwen3_omni_moe_thinker": _qwen3_omni,
}
