"""A quantized GGUF language model to a plain transformers directory in float32, so that it loads in a moment."""

from __future__ import annotations

from pathlib import Path

from speech_eval.errors import BadInput, require


def convert(source: Path, target: Path) -> None:
    """Write the language model and tokenizer of GGUF file `source` into the existing directory `target`.

    Raises `BadInput` for a file that transformers cannot read as a causal language model.
    """
    transformers, save = require("transformers", "llm"), require("safetensors.torch", "llm").save_file
    require("gguf", "llm")
    transformers.utils.logging.disable_progress_bar()
    folder, name = source.parent, source.name
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise BadInput(f"{source}: not a readable GGUF language model ({error}).", "Fetch it again.") from error
    # The parts are written one by one: save_pretrained refuses a model that remembers it came from GGUF.
    config = model.config
    config.architectures = [type(model).__name__]
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    tied = set(model.all_tied_weights_keys) if config.tie_word_embeddings else set()
    weights = {key: tensor.contiguous() for key, tensor in model.state_dict().items() if key not in tied}
    save(weights, target / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(target)
    model.generation_config.save_pretrained(target)
    tokenizer.save_pretrained(target)
