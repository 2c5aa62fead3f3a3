"""Cost of a second of speech for a language model of a codec's tokens, counted from the codes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from speech_eval.assets import store as assets
from speech_eval.errors import require
from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Value
from speech_eval.metrics.codec.pairs import codes_of
from speech_eval.records import Sample

LAYOUTS = ("flattened", "delay", "stacked", "first-level")


def positions(frames: Sequence[int]) -> dict[str, int | None]:
    """Sequence positions of one recording in each layout, from the number of codes in each of its codebooks.

    flattened    one position per code (frame by frame or codebook by codebook: the count is the same)
    delay        codebook k starts k positions late, and all advance together (MusicGen): frames + codebooks - 1; None
                 where codebooks have different frame rates
    stacked      one position per frame of the slowest codebook, which holds all codes of that span: summed
                 embeddings with parallel heads, or a small depth transformer (Moshi)
    first-level  the first codebook alone; a second, non-autoregressive model adds the others (VALL-E)
    """
    delayed = frames[0] + len(frames) - 1 if frames[0] else 0
    return {
        "flattened": sum(frames),
        "delay": delayed if len(set(frames)) == 1 else None,
        "stacked": min(frames),
        "first-level": frames[0],
    }


def _parts(item: ScoringItem) -> dict[str, float]:
    """Positions in each layout, seconds, and the seconds of recordings that the delay layout is defined for."""
    codes = codes_of(item)
    found, seconds = positions([book.frames for book in codes.codebooks]), codes.seconds
    delayed = found["delay"]
    return {
        **{name: float(count or 0) for name, count in found.items()},
        "seconds": seconds,
        "delay-seconds": 0.0 if delayed is None else seconds,
    }


class _Bill(Metric):
    """Counts of a codec's stored codes."""

    needs = frozenset({"audio"})

    def failure(self, sample: Sample) -> dict[str, float]:
        """No codes and no seconds: a lost output does not change a rate; metrics of quality count it as a failure."""
        return dict.fromkeys({part for summary in self.summaries for part in summary.parts}, 0.0)


def _seconds(layout: str) -> str:
    return "delay-seconds" if layout == "delay" else "seconds"


class TokenBill(_Bill):
    """Positions per second in four layouts (`positions`), nominal bits per second and per code, and the size of a
    vocabulary with separate codes for every codebook."""

    id = "token-bill[layouts@1]"
    description = "Positions per second of speech in a language model's sequence, by layout; bits; vocabulary"
    source = (
        "Copet et al. 2023 (delay, flattened), Lee et al. 2022 and Défossez et al. 2024 (stacked), Wang et al. 2023"
    )
    summaries = (
        *(Summary(name, "ratio", (name, _seconds(name)), "positions/s", "lower") for name in LAYOUTS),
        Summary("bits", "ratio", ("bits", "seconds"), "bit/s", "lower"),
        Summary("bits-per-code", "ratio", ("bits", "flattened"), "bit", "higher", headline=False),
        Summary("vocabulary", "ratio", ("vocabulary", "answers"), "codes", "lower", headline=False),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: positions by layout, `bits`, `seconds`, and `vocabulary` over `answers`."""
        books = codes_of(item).codebooks
        bits = sum(book.frames * float(np.log2(book.size)) for book in books)
        vocabulary = float(sum(book.size for book in books))
        return Value(parts={**_parts(item), "bits": bits, "vocabulary": vocabulary, "answers": 1.0})


class TextTokens(_Bill):
    """Cost of the text alone: text tokens of the transcript per second, and positions of speech per text token."""

    id = "text-tokens[smollm2@1]"
    description = "Tokens of the transcript by SmolLM2's tokenizer (49 152), per second and relative to the codes"
    source = "SmolLM2-135M-Instruct's tokenizer, no special tokens"
    summaries = (
        Summary("text", "ratio", ("text", "seconds"), "tokens/s", "lower"),
        Summary("flattened-per-text", "ratio", ("flattened", "text"), "positions", "lower"),
        Summary("stacked-per-text", "ratio", ("stacked", "text"), "positions", "lower"),
    )
    needs = frozenset({"audio", "text"})
    heavy = True
    extra = "llm"
    assets = ("smollm2",)

    def scorer(self) -> str:
        (digest,) = assets.ASSETS["smollm2"].files.values()
        return f"smollm2@{digest[:12]}"

    def score(self, item: ScoringItem) -> Value:
        """Parts: `text` tokens, positions flattened and stacked, `seconds`. Raises `BadData` for a blank text."""
        if not (item.sample.text or "").strip():
            raise BadData(f"Sample {item.sample.id} has no transcript.", "Use a dataset with texts.")
        tokens = self._tokenizer(item.sample.text, add_special_tokens=False)["input_ids"]
        parts = _parts(item)
        kept = {name: parts[name] for name in ("flattened", "stacked", "seconds")}
        return Value(parts={"text": float(len(tokens)), **kept})

    @cached_property
    def _tokenizer(self) -> Any:
        transformers = require("transformers", self.extra)
        from speech_eval.adapters.checkpoints import converted
        from speech_eval.assets.convert.gguf import convert

        return transformers.AutoTokenizer.from_pretrained(converted("smollm2", convert))
