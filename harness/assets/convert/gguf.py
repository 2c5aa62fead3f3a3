"""A quantized GGUF language model to a plain transformers directory in float32, so that it loads in a moment."""

from __future__ import annotations

from pathlib import Path

from speech_eval.errors import BadInput, require


def convert(source: Path, target: Path) -> None:
    """Write the language model and tokenizer of the GGUF file in folder `source` into the existing folder `target`.

    Raises `BadInput` for a file that transformers cannot read as a causal language model.
    """
    transformers, save = require("transformers", "llm"), require("safetensors.torch", "llm").save_file
    require("gguf", "llm")
    transformers.utils.logging.disable_progress_bar()
    (file,) = source.glob("*.gguf")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, gguf_file=file.name)
        model = transformers.AutoModelForCausalLM.from_pretrained(source, gguf_file=file.name)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise BadInput(f"{file}: not a readable GGUF language model ({error}).", "Fetch it again.") from error
    # The parts are written one by one: save_pretrained refuses a model that remembers it came from GGUF.
    config = model.config
    config.architectures = [type(model).__name__]
    config.__dict__.pop("quantization_config", None)
    tied = set(model.all_tied_weights_keys) if config.tie_word_embeddings else set()
    weights = {key: tensor.contiguous() for key, tensor in model.state_dict().items() if key not in tied}
    save(weights, target / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(target)
    model.generation_config.save_pretrained(target)
    tokenizer.save_pretrained(target)
