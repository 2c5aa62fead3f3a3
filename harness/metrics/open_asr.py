"""Word error rate and throughput as the Open ASR Leaderboard computes them, one metric for each epoch of its protocol.

The numbers of different epochs are not comparable. docs/protocols.md describes each epoch.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import jiwer
import numpy as np
from numpy.typing import NDArray

from speech_eval.errors import BadInput, require
from speech_eval.metrics.base import SUBSET, Metric, ScoringItem, Summary, Unit, Value
from speech_eval.metrics.wer import edit_counts, reference_text, transcript
from speech_eval.records import Sample
from speech_eval.text import primary_language
from speech_eval.text.open_asr import NOT_SCORED, Epoch, open_asr_english

Floats = NDArray[np.float64]

CALL_FIELDS = ("call", "group", "parent_id")
ORDER_FIELDS = ("index", "order", "chunk", "chunk_index")
EDITS = ("substitutions", "deletions", "insertions")


def composite(columns: dict[str, Floats], weights: Floats) -> Floats:
    """The leaderboard's average: the mean over subsets of each word error rate in per cent, rounded to 2 decimals.

    `columns` has `errors`, `reference_words` and `set` (the subset's code), each [n]; `weights` is [resamples, n], how
    often each unit counts. A subset that a resample leaves empty does not count; one without reference words makes
    the average undefined. Returns [resamples].
    """
    total, sets = np.zeros(len(weights)), np.zeros(len(weights))
    for code in np.unique(columns["set"]):
        of_set = columns["set"] == code
        drawn = weights[:, of_set]
        rates = 100 * ((drawn @ columns["errors"][of_set]) / (drawn @ columns["reference_words"][of_set]))
        counts = drawn.sum(axis=1) > 0
        # Python's rounding is exact where NumPy's is not.
        total += np.where(counts, [round(float(rate), 2) for rate in rates], 0.0)
        sets += counts
    return np.asarray(total / sets)


def throughput(columns: dict[str, Floats], weights: Floats) -> Floats:
    """RTFx [resamples]: seconds of audio over seconds of processing. Undefined where a counted unit lacks either."""
    untimed = (columns["processing_seconds"] <= 0) | (columns["audio_seconds"] <= 0)
    rates = (weights @ columns["audio_seconds"]) / (weights @ columns["processing_seconds"])
    return np.where(weights @ untimed.astype(np.float64) > 0, np.nan, rates)


_ratio = partial(Summary, estimator="ratio", unit="%", direction="lower", scale=100.0)


class _OpenASR(Metric):
    """Word error rate over the corpus, English only, under the rules of one epoch."""

    needs = frozenset({"hypothesis", "text"})
    columns = frozenset({SUBSET})
    epoch: ClassVar[Epoch]
    summaries = (
        _ratio(name="wer", parts=("errors", "reference_words")),
        _ratio(name="substitutions", parts=("substitutions", "reference_words"), headline=False),
        _ratio(name="deletions", parts=("deletions", "reference_words"), headline=False),
        _ratio(name="insertions", parts=("insertions", "reference_words"), headline=False),
        Summary(
            name="composite",
            estimator="function",
            parts=("errors", "reference_words", "set"),
            unit="%",
            direction="lower",
            function=composite,
            headline=False,
        ),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `errors`, `substitutions`, `deletions`, `insertions`, `reference_words`, and `set`, a code of the
        sample's metadata field `set`. Raises `Unscorable` where there is no transcript, `BadInput` where there is no
        reference or the language is not English."""
        return self._value(item.sample, transcript(item))

    def failure(self, sample: Sample) -> dict[str, float]:
        """Every word of the reference deleted; one error where it is blank, so that silence is not best."""
        value = self._value(sample, "")
        blank = value.detail is not None and not value.detail["reference"].strip()
        return {**value.parts, "errors": 1.0} if blank else value.parts

    def _value(self, sample: Sample, text: str) -> Value:
        if primary_language(sample.language) != "en":
            raise BadInput(
                f"Sample {sample.id} is in '{sample.language}', but {self.id} scores English.",
                "Use the metric wer[whisper-normalizer@20250625].",
            )
        reference = open_asr_english(reference_text(sample), self.epoch)
        hypothesis = open_asr_english(text, self.epoch)
        length, edits = self._align(reference, hypothesis)
        parts = {
            "errors": sum(edits.values()),
            **edits,
            "reference_words": float(length),
            "set": set_code(sample.metadata.get(SUBSET)),
        }
        return Value(parts, detail={"reference": reference, "hypothesis": hypothesis})

    @abstractmethod
    def _align(self, reference: str, hypothesis: str) -> tuple[int, dict[str, float]]:
        """Words of the reference, and the edits against it."""


class _ByJiwer(_OpenASR):
    """Epochs A and B: jiwer's alignment. The original leaves out samples whose reference is blank after normalization
    (`strict` counts their words as insertions) and failed requests."""

    def _align(self, reference: str, hypothesis: str) -> tuple[int, dict[str, float]]:
        if reference.strip() == NOT_SCORED:
            return 0, dict.fromkeys(EDITS, 0.0)
        return edit_counts(jiwer.process_words(reference, hypothesis))

    def _value(self, sample: Sample, text: str) -> Value:
        value = super()._value(sample, text)
        if value.detail is None or value.detail["reference"].strip():
            return value
        return replace(value, compat={**dict.fromkeys(value.parts, 0.0), "set": value.parts["set"]})


class _ByKaldialign(_OpenASR):
    """From epoch C on: kaldialign's edit distance. Neighboring words of one side that form a compound of the other side
    are not errors; the denominator remains the number of reference words as written. Words against a blank reference
    count as insertions."""

    extra = "metrics"

    def _align(self, reference: str, hypothesis: str) -> tuple[int, dict[str, float]]:
        kaldialign = require("kaldialign", self.extra)
        found = kaldialign.edit_distance(reference.split(), hypothesis.split(), merge_compounds=True)
        edits = {"substitutions": found["sub"], "deletions": found["del"], "insertions": found["ins"]}
        return found["ref_len"], {name: float(count) for name, count in edits.items()}


class OpenASRA(_ByJiwer):
    """Epoch A, to April 2026."""

    id = "wer[open-asr@A]"
    epoch = "A"
    description = "Word error rate of the Open ASR Leaderboard, epoch A: Whisper-like normalization, jiwer"
    source = "huggingface/open_asr_leaderboard, commit b5b410e: normalizer/*.py"


class OpenASRB(_ByJiwer):
    """Epoch B, from April to June 2026, in its last state."""

    id = "wer[open-asr@B-31c5b6f]"
    epoch = "B"
    description = "Word error rate of the Open ASR Leaderboard, epoch B: acronyms, names and more fillers, jiwer"
    source = "huggingface/open_asr_leaderboard, commit 31c5b6f (from 9f7a6b4 on): normalizer/*.py"


class OpenASRC(_ByKaldialign):
    """Epoch C, June 2026."""

    id = "wer[open-asr@C]"
    epoch = "C"
    description = "Word error rate of the Open ASR Leaderboard, epoch C: compounds merged in the alignment"
    source = "huggingface/open_asr_leaderboard, commit 6962cd2: normalizer/*.py; kaldialign 0.12.0"


class OpenASRD(_ByKaldialign):
    """Epoch D, from July 2026: the cleaned datasets. A failed request is an empty transcript."""

    id = "wer[open-asr@D]"
    epoch: ClassVar[Epoch] = "D"
    description = "Word error rate of the Open ASR Leaderboard, epoch D: as C, for the cleaned datasets"
    source = "huggingface/open_asr_leaderboard, commit f51b134: normalizer/*.py; kaldialign 0.12.0"

    def compat_failure(self, sample: Sample) -> dict[str, float] | None:
        return self._value(sample, "").parts


class OpenASRE(OpenASRD):
    """Epoch E, from August 2026: the chunks of one call are joined and scored as one.

    A chunk's metadata name its call (`call`, `group` or `parent_id`) and its position (`index`, `order`, `chunk` or
    `chunk_index`); its reference is that of the whole call. Samples without a call are scored as in epoch D.
    """

    id = "wer[open-asr@E]"
    epoch = "E"
    columns = frozenset({SUBSET, *CALL_FIELDS, *ORDER_FIELDS})
    description = "Word error rate of the Open ASR Leaderboard, epoch E: as D, the chunks of a call scored as one"
    source = "huggingface/open_asr_leaderboard, commit d1e99b2: normalizer/*.py; kaldialign 0.12.0"

    def score(self, item: ScoringItem) -> Value:
        """As in `_OpenASR`; a chunk of a call has no parts, only its raw transcript in the detail."""
        call = _call(item.sample)
        if call is None:
            return super().score(item)
        return Value(parts={}, detail={"call": call[0], "index": call[1], "hypothesis": transcript(item)})

    def failure(self, sample: Sample) -> dict[str, float]:
        """As in `_OpenASR`; a chunk of a call has no parts: its words are missing from the call's transcript."""
        return super().failure(sample) if _call(sample) is None else {}

    def compat_failure(self, sample: Sample) -> dict[str, float] | None:
        return super().compat_failure(sample) if _call(sample) is None else {}

    def pool(self, units: Sequence[Unit]) -> Sequence[Unit]:
        """One unit per call, after the samples without a call."""
        calls: dict[tuple[str, str], list[tuple[float, Unit]]] = {}
        pooled = []
        for unit in units:
            call = _call(unit.sample)
            if call is None:
                pooled.append(unit)
            else:
                calls.setdefault((str(unit.sample.metadata.get(SUBSET)), call[0]), []).append((call[1], unit))
        for (_, name), chunks in sorted(calls.items()):
            chunks.sort(key=lambda chunk: chunk[0])
            pooled.append(self._whole(name, [unit for _, unit in chunks]))
        return pooled

    def _whole(self, call: str, chunks: list[Unit]) -> Unit:
        """The call as one unit: its chunks' transcripts in order, normalized together."""
        references = {chunk.sample.text for chunk in chunks}
        if len(references) > 1:
            raise BadInput(
                f"The chunks of call '{call}' have different references.",
                "Give every chunk the transcript of the whole call.",
            )
        first = chunks[0].sample
        sample = first.model_copy(update={"id": call, "cluster": first.cluster or f"call {call}"})
        heard = [chunk.detail["hypothesis"].strip() for chunk in chunks if "hypothesis" in chunk.detail]
        value = self._value(sample, " ".join(text for text in heard if text))
        strict = value.parts if heard else _OpenASR.failure(self, sample)
        return Unit(sample, strict, value.parts, value.detail or {})


def _call(sample: Sample) -> tuple[str, float] | None:
    """The call that a sample is a chunk of, and its position in it; None for a sample without a call."""
    name = next((sample.metadata[field] for field in CALL_FIELDS if sample.metadata.get(field) is not None), None)
    if name is None:
        return None
    place = next((sample.metadata[field] for field in ORDER_FIELDS if sample.metadata.get(field) is not None), None)
    if not isinstance(place, int | float):
        raise BadInput(
            f"Sample {sample.id} is a chunk of call '{name}' but has no number in `{ORDER_FIELDS[0]}`.",
            "Give every chunk its position in the call.",
        )
    return str(name), float(place)


def set_code(name: Any) -> float:
    """A subset's name as a number for a column: 48 bits of its digest, 0 without a name."""
    return 0.0 if name is None else float(int.from_bytes(hashlib.sha256(str(name).encode()).digest()[:6], "big"))


class OpenASRThroughput(Metric):
    """RTFx: seconds of audio over seconds of processing, both summed over all samples. It is a throughput, since the
    answers of a batch share the time of the batch."""

    id = "rtfx[open-asr]"
    description = "RTFx of the Open ASR Leaderboard: seconds of audio per second of processing, over all samples"
    source = "huggingface/open_asr_leaderboard, commit d1e99b2: normalizer/eval_utils.py (unweighted since afbfabc)"
    needs = frozenset({"reference", "timing"})
    summaries = (
        Summary(
            name="rtfx",
            estimator="function",
            parts=("audio_seconds", "processing_seconds"),
            unit="×",
            direction="higher",
            function=throughput,
        ),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `audio_seconds`, `processing_seconds`; records without a run give them as `duration` and `time`.

        Raises `BadInput` where one of them is missing. Where one of them is 0, RTFx is undefined, as in the original.
        """
        if item.output.seconds is None:
            raise BadInput(f"Sample {item.sample.id} has no answer time (`time`).", "Give `time` in seconds.")
        if item.load_reference is None and item.stated_seconds is None:
            raise BadInput(
                f"Sample {item.sample.id} has no recording and no `duration`.", "Give `duration` in seconds."
            )
        return Value({"audio_seconds": item.reference_seconds(), "processing_seconds": item.output.seconds})

    def failure(self, sample: Sample) -> dict[str, float]:
        """No audio and no time, so that `strict` is undefined: any time counted here would be invented."""
        return {"audio_seconds": 0.0, "processing_seconds": 0.0}
