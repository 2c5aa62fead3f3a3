"""Codec modelability in a unit that compares across codecs: bits of held-out codes per second of audio."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem, Summary, Value
from speech_eval.records import CodesRecord, Sample, TokenModelRecord

# Bits per second that a failed sample counts: 16-bit PCM at 16 kHz, which needs no model.
_PCM_BITS = 256_000.0
_BITS = (
    Summary("bits-per-second", "ratio", ("bits", "seconds"), "kbit/s", "lower", 1e-3),
    Summary("bits-per-token", "ratio", ("bits", "tokens"), "bit", "lower"),
    Summary("bits-given-text", "ratio", ("text_bits", "seconds"), "kbit/s", "lower", 1e-3),
)


class _Bits(Metric):
    """What both protocols count."""

    source = "Shannon 1951; budget and layout as in docs/tasks.md"
    needs = frozenset()
    columns = frozenset({"seconds"})
    in_bits: ClassVar[tuple[str, ...]]  # parts of which a failed sample counts PCM
    others: ClassVar[dict[str, float]]  # the remaining parts, and what a failed sample counts of each

    def parts(self, item: ScoringItem, found: TokenModelRecord, codes: CodesRecord) -> dict[str, float]:
        """The parts that are the protocol's own."""
        raise NotImplementedError

    def score(self, item: ScoringItem) -> Value:
        """Bits, tokens and seconds. Raises `BadInput` where the output has no `token_model`."""
        found, codes = item.output.token_model, item.output.codes
        if found is None or codes is None:
            raise BadInput(
                f"Sample {item.sample.id}: the output has no 'lm_bits' with its 'codebooks' and 'seconds'.",
                "Run the task codec-modelability.",
            )
        common = {
            "bits": found.bits,
            "text_bits": found.bits_given_text,
            "tokens": float(sum(book.frames for book in codes.codebooks)),
            "seconds": codes.seconds,
        }
        trained = found.model_dump(exclude={"bits", "bits_given_text", "ended"}, exclude_none=True)
        return Value(parts=common | self.parts(item, found, codes), detail={"lm": trained})

    def failure(self, sample: Sample) -> dict[str, float]:
        """PCM of the recording's length, or of one second where the dataset does not state it."""
        seconds = float(sample.metadata.get("seconds", 1.0))
        bits = dict.fromkeys(self.in_bits, _PCM_BITS * seconds)
        return bits | {"tokens": seconds, "seconds": seconds} | self.others


class Modelability(_Bits):
    """Bits that the task's language model needs for the held-out codes and their end, beside what counting needs.

    `bits-per-second` and `bits-per-token` are without text, `bits-given-text` after reading the sentence; `unigram` and
    `bigram` are by frequencies in the training corpus. `of-unigram` is the model's share of the unigram's bits, 100 %
    where it learned nothing of the order of codes. `training` counts the operations that the model was trained with.
    `strict` counts a failed sample as 16 kHz PCM.
    """

    description = "Bits per second of held-out speech under a small language model trained on the codes"
    in_bits = ("bits", "text_bits", "unigram_bits", "bigram_bits")
    others: ClassVar = {"flops": 0.0, "trained": 0.0}
    summaries = (
        *_BITS,
        Summary("unigram", "ratio", ("unigram_bits", "seconds"), "kbit/s", "lower", 1e-3),
        Summary("bigram", "ratio", ("bigram_bits", "seconds"), "kbit/s", "lower", 1e-3),
        Summary("of-unigram", "ratio", ("bits", "unigram_bits"), "%", "lower", 100.0),
        Summary("training", "ratio", ("flops", "trained"), "TFLOP", "lower", 1e-12, headline=False),
    )

    def parts(self, item: ScoringItem, found: TokenModelRecord, codes: CodesRecord) -> dict[str, float]:
        """Raises `BadInput` for an answer of the first protocol, which did not count."""
        if found.unigram_bits is None or found.bigram_bits is None:
            raise BadInput(
                f"Sample {item.sample.id}: 'lm' has no 'unigram_bits' and 'bigram_bits'.",
                "Score it by modelability[…@smoke-1], or run the task codec-modelability again.",
            )
        counted = {"unigram_bits": found.unigram_bits, "bigram_bits": found.bigram_bits}
        return counted | {"flops": found.flops or 0.0, "trained": 1.0}


class FirstProtocol(_Bits):
    """The protocol before `@smoke-2`, for runs that are kept: its budget billed the head over the declared codebook, so
    that the same codes declared larger were learned from less data.

    `incompressible` is the share of the nominal bitrate, `stop-rate` the share of samples that the speaking model ended
    itself.
    """

    description = "Bits per second as first defined, for runs that are kept: depends on the declared codebook size"
    in_bits = ("bits", "text_bits", "nominal")
    others: ClassVar = {"ended": 0.0, "answers": 1.0}
    summaries = (
        *_BITS,
        Summary("incompressible", "ratio", ("bits", "nominal"), "%", "lower", 100.0),
        Summary("stop-rate", "ratio", ("ended", "answers"), "%", "higher", 100.0, headline=False),
    )

    def parts(self, item: ScoringItem, found: TokenModelRecord, codes: CodesRecord) -> dict[str, float]:
        """The nominal bits, and whether the model ended."""
        nominal = float(sum(book.frames * np.log2(book.size) for book in codes.codebooks))
        return {"nominal": nominal, "ended": float(found.ended or False), "answers": 1.0}


class FlattenedSmoke(Modelability):
    id = "modelability[flattened@smoke-2]"


class DelaySmoke(Modelability):
    id = "modelability[delay@smoke-2]"


class FlattenedH100(Modelability):
    id = "modelability[flattened@h100-2]"


class FirstFlattenedSmoke(FirstProtocol):
    id = "modelability[flattened@smoke-1]"


class FirstDelaySmoke(FirstProtocol):
    id = "modelability[delay@smoke-1]"


class FirstFlattenedH100(FirstProtocol):
    id = "modelability[flattened@h100-1]"
