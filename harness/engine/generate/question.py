"""What a conversation model is asked about a recording: a template, filled from the sample."""

from __future__ import annotations

import re
from dataclasses import dataclass

from speech_eval.errors import BadInput
from speech_eval.records import Sample

_LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True)
class Question:
    """`template` has `{options}` and names of a sample's metadata in braces. An option is written by `option` with
    `{letter}` and `{text}`, `between` stands between options, and at least `least` are written, those that lack as
    None; options that the data has as one text are written as they are."""

    template: str
    option: str = "{letter}. {text}"
    between: str = "\n"
    least: int = 0

    def of(self, sample: Sample) -> str:
        """The question about a sample. Raises `BadInput` for metadata that the sample does not have."""
        given = {**sample.metadata, "options": self._options(sample)}
        lacking = sorted(set(re.findall(r"\{(\w+)\}", self.template)) - given.keys())
        if lacking:
            raise BadInput(
                f"Sample {sample.id} has no '{lacking[0]}' to ask about.", "Name the column as docs/data.md says."
            )
        return re.sub(r"\{(\w+)\}", lambda match: str(given[match[1]]), self.template)

    def _options(self, sample: Sample) -> str:
        given = sample.metadata.get("choices")
        if isinstance(given, str):
            return given
        lettered = [sample.metadata.get(f"choice_{letter.lower()}") for letter in _LETTERS]
        texts = list(given) if isinstance(given, list) else [text for text in lettered if text is not None]
        texts += [None] * (self.least - len(texts))
        pairs = zip(_LETTERS, texts, strict=False)
        return self.between.join(
            self.option.replace("{letter}", letter).replace("{text}", str(text)) for letter, text in pairs
        )
