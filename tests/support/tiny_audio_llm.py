"""A Whisper, a Llama and a corpus so small that an audio LLM learns in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from support.tiny_text import characters, louder

TEXTS = ("yes", "no", "go on", "stop it", "one two", "hello")


def save_tiny_whisper(path: Path) -> str:
    import torch
    import transformers as T

    torch.manual_seed(0)
    config = T.WhisperConfig(
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        vocab_size=64,
        num_mel_bins=80,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    louder(T.WhisperForConditionalGeneration(config)).save_pretrained(path)
    T.WhisperFeatureExtractor(feature_size=80).save_pretrained(path)
    return str(path)


def save_tiny_llm(path: Path, positions: int = 256) -> str:
    import torch
    import transformers as T

    torch.manual_seed(1)
    tokenizer = characters("<|im_start|>", "<|im_end|>")
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    config = T.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    T.LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def save_corpus(path: Path, texts: tuple[str, ...] = TEXTS, seconds: float = 0.8) -> Path:
    """Recordings of two tones that differ with the text, the last one held out."""
    import soundfile

    path.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, text in enumerate(texts):
        time = np.arange(int(seconds * 16_000)) / 16_000
        low, high = 200 + 170 * number, 3000 / (number + 1)
        wave = 0.3 * np.sin(2 * np.pi * low * time) + 0.1 * np.sin(2 * np.pi * high * time)
        soundfile.write(path / f"u{number}.wav", wave.astype(np.float32), 16_000)
        split = "held-out" if number == len(texts) - 1 else "train"
        rows.append({"file_name": f"u{number}.wav", "text": text, "language": "en", "speaker": "s", "split": split})
    (path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def model_section(whisper: str, llm: str, **changes: Any) -> dict[str, Any]:
    section: dict[str, Any] = {
        "encoder": {"spec": whisper},
        "llm": {"spec": llm},
        "fusion": {"type": "mlp-fold", "fold": 2, "hidden": 64},
        "prompt": {"ask": "say:<|audio|>", "examples": ["a b"]},
    }
    return section | changes
