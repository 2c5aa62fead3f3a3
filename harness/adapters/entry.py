"""One entry of the model catalog: an adapter class, what makes it a preset, and how a checkpoint finds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from speech_eval.adapters.base import Adapter
from speech_eval.errors import BadInput
from speech_eval.registry import load_attr

RECOGNIZER = ("SpeechRecognizer",)
SYNTHESIZER = ("SpeechSynthesizer",)
CHAT = ("AudioLanguageModel",)
CODEC = ("AudioCodec",)
AGENT = ("DuplexAgent",)
ANY = (*RECOGNIZER, *SYNTHESIZER, *CHAT, *CODEC, *AGENT)


@dataclass(frozen=True)
class Entry:
    """What `--model NAME` means: an adapter class, and the arguments that make it a preset.

    `target` is `module:Class`, imported when the model is used, or the class itself. `arguments` are defaults of its
    constructor, which options of the spec override. `extra` is the optional dependency it needs. `source` is who made
    it; "bundled" says that its weights come with this project or are fetched as pinned files of a package index.
    `usage` is how to write the spec where the name alone is not enough.

    A checkpoint directory finds its entry by `model_types` (`model_type` in config.json), by `reference_kind` (`kind`
    in reference.json), by the name of a `marker` file, or by a `config_key` that only its config.json has.
    `auto_mapping` names the table of transformers whose other model types it runs too. An entry that `refines` another
    takes over its checkpoints whose tokenizer has the token `speech_token` or whose vocabulary is of a size in
    `vocabulary`: speech LMs are published as plain text LMs.
    `scheme` is the `module:function` that reads `NAME:REST`.
    """

    name: str
    target: str | type[Adapter]
    interfaces: tuple[str, ...] = ()
    summary: str = ""
    source: str = ""
    extra: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    usage: str = ""
    model_types: tuple[str, ...] = ()
    auto_mapping: str = ""
    refines: str = ""
    speech_token: str = ""
    vocabulary: range = range(0)
    reference_kind: str = ""
    marker: str = ""
    config_key: str = ""
    scheme: str = ""
    fake: bool = False

    @property
    def spec(self) -> str:
        """How to write the model spec."""
        return self.usage.format(name=self.name) if self.usage else self.name

    def adapter_class(self) -> type[Adapter]:
        """The adapter class, imported if need be. Raises `BadInput` for a target that is not one."""
        found = load_attr(self.target) if isinstance(self.target, str) else self.target
        if not (isinstance(found, type) and issubclass(found, Adapter)):
            raise BadInput(f"The model '{self.name}' is not an adapter class: {self.target}.", "See docs/adapters.md.")
        return found
