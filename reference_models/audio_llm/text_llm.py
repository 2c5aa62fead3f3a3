"""The text language model and its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from speech_eval.adapters.checkpoints import load_model, locate, weights_digest
from speech_eval.adapters.parts import load_part
from speech_eval.assets.convert.gguf import convert
from speech_eval.reference_models.audio_llm.config import LLMSection

BUNDLED = ("smollm2",)


@dataclass(frozen=True)
class TextLLM:
    """A causal language model on the CPU in float32, its tokenizer, the ids that end its turns, its digest and
    license."""

    model: Any
    tokenizer: Any
    ends: frozenset[int]
    weights_sha256: str
    license: str

    @property
    def positions(self) -> int | None:
        """The longest sequence that it reads; None if it names none."""
        return getattr(self.model.config.get_text_config(decoder=True), "max_position_embeddings", None)


def load_llm(section: LLMSection) -> TextLLM:
    """Load it, frozen. Raises `BadInput` for an unknown name, or a model that is not a causal language model."""
    path = f"asset:{section.spec}" if section.spec in BUNDLED else section.spec
    checkpoint = locate(path, section.revision, convert=convert)
    model = load_model("AutoModelForCausalLM", checkpoint, dtype="float32", device="cpu", extra="llm")
    tokenizer = load_part("AutoTokenizer", checkpoint.directory, extra="llm")
    stated = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(stated if isinstance(stated, list) else [stated])} - {None}
    digest = weights_digest(checkpoint.weights())
    return TextLLM(model.requires_grad_(False), tokenizer, frozenset(ends), digest, checkpoint.license())
