"""A codec's output and the recording it was made from, at one rate and one length, without any shift."""

from __future__ import annotations

from dataclasses import dataclass

from speech_eval.audio import Samples, leading_silence
from speech_eval.errors import BadInput
from speech_eval.metrics.base import ScoringItem, Unscorable
from speech_eval.records import CodesRecord

LONGEST_FRAME = 0.08  # seconds, of the codecs in wide use; the tolerance where an output states no frame rate
SHORTEST_TOLERANCE = 0.01


@dataclass(frozen=True)
class Pair:
    """`reference` and `output`, float32 [frames] each, both at `rate` Hz."""

    reference: Samples
    output: Samples
    rate: int


def pair(item: ScoringItem, rate: int | None = None) -> Pair:
    """Recording and output at `rate` (None: the recording's own rate), the longer one cut at its end.

    Codecs pad to whole frames, so the lengths may differ by up to one frame of the codec (at least 10 ms). The two are
    not aligned in time: a codec has to compensate its own delay, which a listener would hear. Raises `Unscorable` for a
    larger difference, and where either side is inaudible.
    """
    name = item.sample.id
    rate = item.reference().rate if rate is None else rate
    reference, output = item.reference(rate), item.audio(rate)
    allowed, difference = tolerance(item), output.seconds - reference.seconds
    if abs(difference) > allowed:
        longer = "longer" if difference > 0 else "shorter"
        raise Unscorable(
            f"Sample {name}: the output is {abs(difference):.3f} s {longer} than the recording, over {allowed:.3f} s.",
            "Decode to the recording's length.",
        )
    for audio, what in ((reference, "recording"), (output, "output")):
        if leading_silence(audio) is None:
            raise Unscorable(f"Sample {name}: the {what} is inaudible.", "Check the model or the data.")
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
