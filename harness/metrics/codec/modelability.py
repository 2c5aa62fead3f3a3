"""Codec modelability in a unit that compares across codecs: bits of held-out codes per second of audio."""

from __future__ import annotations

import numpy as np

from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem, Summary, Value
from speech_eval.records import Sample

# Bits per second that a failed sample counts: 16-bit PCM at 16 kHz, which needs no model.
_PCM_BITS = 256_000.0
_PARTS = ("bits", "text_bits", "nominal", "tokens", "seconds", "ended", "answers")


class Modelability(Metric):
    """Bits that the task's language model needs for the held-out codes and their end.

    `bits-per-second` and `bits-per-token` are without text, `bits-given-text` after reading the sentence;
    `incompressible` is the remaining share of the nominal bitrate, 100 % where the model learned nothing; `stop-rate`
    is the share of samples that the speaking model ended itself. `strict` counts a failed sample as 16 kHz PCM.
    """

    description = "Bits per second of held-out speech under a small language model trained on the codes"
    source = "Shannon 1951; budget and layout as in docs/tasks.md"
    needs = frozenset()
    columns = frozenset({"seconds"})
    summaries = (
        Summary("bits-per-second", "ratio", ("bits", "seconds"), "kbit/s", "lower", 1e-3),
        Summary("bits-per-token", "ratio", ("bits", "tokens"), "bit", "lower"),
        Summary("bits-given-text", "ratio", ("text_bits", "seconds"), "kbit/s", "lower", 1e-3),
        Summary("incompressible", "ratio", ("bits", "nominal"), "%", "lower", 100.0),
        Summary("stop-rate", "ratio", ("ended", "answers"), "%", "higher", 100.0, headline=False),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: bits, nominal bits, tokens, seconds. Raises `BadInput` where the output has no `token_model`."""
        found, codes = item.output.token_model, item.output.codes
        if found is None or codes is None:
            raise BadInput(
                f"Sample {item.sample.id}: the output has no 'lm_bits' with its 'codebooks' and 'seconds'.",
                "Run the task codec-modelability.",
            )
        parts = {
            "bits": found.bits,
            "text_bits": found.bits_given_text,
            "nominal": float(sum(book.frames * np.log2(book.size) for book in codes.codebooks)),
            "tokens": float(sum(book.frames for book in codes.codebooks)),
            "seconds": codes.seconds,
            "ended": float(found.ended),
            "answers": 1.0,
        }
        trained = found.model_dump(exclude={"bits", "bits_given_text", "ended"}, exclude_none=True)
        return Value(parts=parts, detail={"lm": trained})

    def failure(self, sample: Sample) -> dict[str, float]:
        """PCM of the recording's length, or of one second where the dataset does not state it."""
        seconds = float(sample.metadata.get("seconds", 1.0))
        bits = _PCM_BITS * seconds
        return dict(zip(_PARTS, (bits, bits, bits, seconds, seconds, 0.0, 1.0), strict=True))


class FlattenedSmoke(Modelability):
    id = "modelability[flattened@smoke-1]"


class DelaySmoke(Modelability):
    id = "modelability[delay@smoke-1]"


class FlattenedH100(Modelability):
    id = "modelability[flattened@h100-1]"
