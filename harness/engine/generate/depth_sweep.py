"""A codec at several depths: every recording is encoded once and decoded from its first 1, 2, 4, … all codebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from speech_eval.adapters.base import Adapter, AudioCodec
from speech_eval.engine.generate.reading import AudioReader
from speech_eval.engine.generate.requests import LoadAudio, RawAnswer, checked_audio, codes_record, recording
from speech_eval.engine.generate.strategy import Strategy, Work
from speech_eval.errors import BadInput
from speech_eval.records import Sample

if TYPE_CHECKING:
    from speech_eval.engine.task import Task


@dataclass(frozen=True)
class DepthSweep(Strategy):
    """One task result per depth, named such as `codec-depth@depth=4`."""

    axis = "depth"

    def points(self, task: Task, adapter: Adapter) -> list[Task]:
        """Raises `BadInput` for a codec whose codes cannot be cut."""
        assert isinstance(adapter, AudioCodec)
        if not adapter.depths:
            raise BadInput(
                f"Task '{task.name}': {adapter.info().name} decodes only all of its codes.",
                "Run codec-reconstruction at several bitrates instead.",
            )
        return [task.at(depth) for depth in chosen(adapter.depths)]

    def generate(self, work: Work) -> None:
        """Encode every sample once and decode it at each depth that has no output yet."""
        finished = {point.name: work.finished(point) for point in work.tasks}
        samples = work.dataset.samples
        todo = [sample for sample in samples if any(sample.id not in finished[point.name] for point in work.tasks)]
        count = len(samples) - len(todo)
        work.report(count)
        with AudioReader(work.dataset, todo, 1, work.adapter.reads_audio) as (read, batches):
            for (sample,) in batches:
                points = [point for point in work.tasks if sample.id not in finished[point.name]]
                for point, outcome in zip(points, _outcomes(work, points, sample, read), strict=True):
                    work.keep(point, [(sample, outcome, None)])
                    work.guest.after(outcome)
                count += 1
                work.report(count)


def chosen(depths: Sequence[int]) -> list[int]:
    """The powers of two and the last of a codec's depths: 1, 2, 4, … all."""
    return [depth for depth in depths if depth & (depth - 1) == 0 or depth == depths[-1]]


def _outcomes(work: Work, points: Sequence[Task], sample: Sample, read: LoadAudio) -> Iterator[RawAnswer | Exception]:
    """One outcome per depth. What cannot be encoded fails at every depth; what cannot be decoded, at its own."""
    decode: Callable[[int], RawAnswer] | Exception
    try:
        with work.asking([sample]):
            decode = encode_once(work.adapter, sample, read)
    except Exception as error:
        decode = error
    for point in points:
        assert point.point is not None
        outcome: RawAnswer | Exception
        try:
            with work.asking([sample]):
                outcome = decode if isinstance(decode, Exception) else decode(point.point.count)
        except Exception as error:
            outcome = error
        yield outcome


def encode_once(adapter: Adapter, sample: Sample, load: LoadAudio) -> Callable[[int], RawAnswer]:
    """Encode the sample's recording and return what decodes its first `depth` codebooks.

    The `seconds` of an answer are those of the encoding and of its own decoding.
    """
    assert isinstance(adapter, AudioCodec)
    audio = recording(sample, adapter.sample_rate, load)
    start = perf_counter()
    (codes,) = adapter.encode([audio])
    encoding = perf_counter() - start

    def decode(depth: int) -> RawAnswer:
        start = perf_counter()
        kept = adapter.truncate(codes, depth)
        (decoded,) = adapter.decode([kept])
        seconds = encoding + perf_counter() - start
        return RawAnswer(audio=checked_audio(decoded, sample.id), seconds=seconds, codes=codes_record(kept, audio))

    return decode
