"""A codec's output and the recording it was made from, at one rate and one length, without any shift."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from speech_eval.audio import Audio, Samples
from speech_eval.errors import BadInput
from speech_eval.metrics.audibility import of_audible
from speech_eval.metrics.base import Metric, ScoringItem, Unscorable, Value
from speech_eval.records import CodesRecord
from speech_eval.signal.level import audible

LONGEST_FRAME = 0.08  # seconds, of the codecs in wide use; the tolerance where an output states no frame rate
SHORTEST_TOLERANCE = 0.01


@dataclass(frozen=True)
class Pair:
    """`reference` and `output`, float32 [frames] each, both at `rate` Hz."""

    reference: Samples
    output: Samples
    rate: int


class PairMetric(Metric):
    """A metric of an output and its recording at `rate` (None: the recording's own rate)."""

    needs = frozenset({"audio", "reference"})
    rate: ClassVar[int | None] = None

    def score(self, item: ScoringItem) -> Value:
        """What `compare` returns. Raises `Unscorable` for an inaudible output, with that value as `compat`; for an
        inaudible recording; and for lengths that differ too much."""
        both = pair(item, self.rate)
        if not audible(Audio(both.reference, both.rate)):
            raise Unscorable(f"Sample {item.sample.id}: the recording is inaudible.", "Leave it out of the dataset.")
        return of_audible(item, Audio(both.output, both.rate), lambda: self.compare(item, both))

    @abstractmethod
    def compare(self, item: ScoringItem, both: Pair) -> Value:
        """The value of a pair of any level."""


def pair(item: ScoringItem, rate: int | None = None) -> Pair:
    """Recording and output at `rate` (None: the recording's own rate), the longer one cut at its end.

    Codecs pad to whole frames, so the lengths may differ by up to one frame of the codec (at least 10 ms). The two are
    not aligned in time: a codec has to compensate its own delay, which a listener would hear. Raises `Unscorable` for a
    larger difference.
    """
    rate = item.reference().rate if rate is None else rate
    reference, output = item.reference(rate), item.audio(rate)
    allowed, difference = tolerance(item), output.seconds - reference.seconds
    if abs(difference) > allowed:
        longer = "longer" if difference > 0 else "shorter"
        raise Unscorable(
            f"Sample {item.sample.id}: the output is {abs(difference):.3f} s {longer} than the recording, over"
            f" {allowed:.3f} s.",
            "Decode to the recording's length.",
        )
    frames = min(len(reference.samples), len(output.samples))
    return Pair(reference.samples[:frames], output.samples[:frames], rate)


def tolerance(item: ScoringItem) -> float:
    """Seconds by which the lengths may differ: one frame of the slowest codebook, 80 ms where none is stated."""
    rates = [book.frame_rate for book in item.output.codes.codebooks] if item.output.codes else []
    return max(SHORTEST_TOLERANCE, 1.0 / min(rates) if rates else LONGEST_FRAME)


def codes_of(item: ScoringItem) -> CodesRecord:
    """The stored codes of an output and the seconds of its recording. Raises `BadInput` where they are not stored."""
    codes = item.output.codes
    if codes is None or not codes.codebooks or codes.seconds <= 0:
        raise BadInput(
            f"Sample {item.sample.id}: the output has no 'codebooks' with the 'seconds' of the recording.",
            "Only codecs have codes: run the task token-bill or codec-reconstruction.",
        )
    return codes
