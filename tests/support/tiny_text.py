"""A tokenizer of characters and a chat template, for tiny models of the real classes."""

from __future__ import annotations

from typing import Any

QWEN2 = {
    "model_type": "qwen2",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 97,
    "eos_token_id": 98,
}


def characters(*special: str, **named: str) -> Any:
    """One id per printable ASCII character, then `<pad>`, `<eos>` and the special tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    table = {"<unk>": 0, "\n": 1, **{chr(code): code - 30 for code in range(32, 127)}}
    tokenizer = Tokenizer(models.WordLevel(table, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["<pad>", "<eos>", *named.values(), *special])
    more = {"extra_special_tokens": named} if named else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token="<eos>", **more
    )


def chatml(audio: str, system: bool = True) -> str:
    """A chat template that writes each recording as `audio`."""
    return (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.content is string %}{{ m.content }}{% else %}"
        "{% for c in m.content %}{% if c.type == 'audio' %}" + audio + "{% else %}{{ c.text }}{% endif %}{% endfor %}"
        "{% endif %}{% if not (loop.last and continue_final_message | default(false)) %}<|im_end|>\n{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def louder(model: Any, factor: float = 5, besides: str = "codec_model.") -> Any:
    """The model with large weights, those of a codec inside excepted: small random ones say the same to everything."""
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and not name.startswith(besides):
            weight.data.mul_(factor)
    return model


def bold(model: Any, special: slice = slice(97, None)) -> Any:
    """The model with weights so large that its answers depend on what it hears, and never made of `special` ids."""
    louder(model)
    output = model.get_output_embeddings().weight.data
    output.normal_(std=2.0)
    output[special] = 0
    return model
