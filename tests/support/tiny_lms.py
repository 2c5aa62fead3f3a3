"""Tiny random language models in the form in which the families of speech LMs are published, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.tiny_codecs import save_scalar_codec, save_snac
from support.tiny_speech import save_codec

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CHAT = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"


def save_lm(directory: Path, vocabulary: int, tokens: Sequence[str], ids: dict[str, int] | None = None) -> Path:
    """A tiny random Llama and a tokenizer of characters, with `tokens` as specials after them."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    characters = {chr(code): code - 31 for code in range(32, 127)}
    table = {"<unk>": 0, **characters, "\n": 96}
    tokenizer = Tokenizer(models.WordLevel(table | (ids or {}), unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.add_special_tokens(list(tokens))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    fast.chat_template = CHAT
    fast.save_pretrained(directory)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(directory)
    return directory


def marks(*names: str) -> list[str]:
    return [f"<|{name}|>" for name in names]


def llasa(folder: Path, codes: int = 64) -> Path:
    kinds = ("TEXT_GENERATION", "TEXT_UNDERSTANDING", "SPEECH_GENERATION", "SPEECH_UNDERSTANDING")
    specials = marks(*(f"{kind}_{edge}" for kind in kinds for edge in ("START", "END")))
    return save_lm(folder / "llasa", 105 + codes, [*specials, *(f"<|s_{i}|>" for i in range(codes))])


def snac_like(folder: Path) -> Path:
    from speech_eval.reference_models.codec.config import CodecConfig
    from speech_eval.reference_models.codec.model import Codec
    from speech_eval.reference_models.training.checkpoint import save_checkpoint

    torch.manual_seed(0)
    config = CodecConfig.model_validate(
        {
            "causal": False,
            "latent_dim": 16,
            "encoder": {"type": "stft", "n_fft": 640, "hop": 320, "channels": 16, "blocks": 1},
            "decoder": {"type": "vocos", "n_fft": 640, "hop": 320, "channels": 16, "blocks": 1},
            "quantizer": {"type": "multiscale", "strides": [4, 2, 1], "codebook_size": 4096},
        }
    )
    save_checkpoint(folder / "snac", "codec", config.model_dump(mode="json"), Codec(config).state_dict(), {})
    return folder / "snac"


def published(family: str, folder: Path) -> tuple[Path, str, dict[str, str]]:
    """A language model as it is published, its codec, and the keywords of a request it takes."""
    voice = {"voice": "0880", "words": "He was not an ill-disposed young man."}
    if family == "llasa":
        return llasa(folder / "lm", 64), str(save_codec(folder / "codec")), voice
    if family == "orpheus":
        return save_lm(folder / "lm", 128_266 + 7 * 4096, []), str(snac_like(folder)), voice
    if family == "neutts":
        names = marks("TEXT_PROMPT_START", "TEXT_PROMPT_END", "SPEECH_GENERATION_START", "SPEECH_GENERATION_END")
        lm = save_lm(folder / "lm", 97 + 4 + 64, [*names, *(f"<|speech_{i}|>" for i in range(64))])
        return lm, str(save_codec(folder / "codec")), voice
    names = marks("im_start", "im_end", "text_start", "text_end", "audio_start", "audio_end", "code", "word_start")
    codes = [f"<|c{book}_{i}|>" for book in (1, 2) for i in range(17)]
    lm = save_lm(folder / "lm", 97 + 8 + 34, [*names, *codes])
    return lm, f"{save_codec(folder / 'codec', 'csm')},n_codebooks=2", {}


def named_pair(family: str, folder: Path) -> tuple[Path, Path]:
    """A language model and the codec it was published with, both of the real classes: LLaSA and XCodec2, NeuTTS and
    NeuCodec (of 64 codes), Orpheus and SNAC."""
    lm, _, _ = published(family, folder)
    if family == "orpheus":
        return lm, save_snac(folder / "snac", 4096)
    prefix = {"llasa": "Xcodec2", "neutts": "NeuCodec"}[family]
    return lm, save_scalar_codec(prefix, folder / prefix, quantization_levels=[4, 4, 4])
