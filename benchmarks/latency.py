"""What measuring costs: the harness's own time per chunk of a stream, by a model that takes none.

    python benchmarks/latency.py [--chunks 10 100 1000] [--rounds 7]

A synthesizer yields chunks it made beforehand. Each round walks through its stream three times, one after the other:
bare, with nothing but the loop; with a clock read a chunk, which is the least any measurement takes; and as the task
`latency` does. What is added to the bare loop is what a measured time holds of the harness itself. The time a model
does not feel, for storing the answer between two requests, is shown beside it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from speech_eval.adapters.base import SpeechSynthesizer, SynthesisRequest
from speech_eval.audio import Audio
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine.generate.guest import Guest
from speech_eval.engine.generate.strategy import Work
from speech_eval.engine.generate.timed import REQUESTS
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.records import DatasetInfo, ModelInfo, Sample
from speech_eval.tasks.latency import latency

SAMPLE = Sample(id="s", text="words")
RATE = 24_000


class Instant(SpeechSynthesizer):
    """Yields `count` chunks of 20 ms that exist already."""

    def __init__(self, count: int) -> None:
        self.chunks = [Audio(np.full(RATE // 50, 0.3, np.float32), RATE) for _ in range(count)]

    def info(self) -> ModelInfo:
        return ModelInfo(spec="", name="instant", interfaces=[])

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        raise NotImplementedError

    def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
        yield from self.chunks


def bare(model: Instant) -> None:
    for _ in model.stream(SynthesisRequest("s", "words")):
        pass


def clock_reads(model: Instant) -> None:
    for _ in model.stream(SynthesisRequest("s", "words")):
        perf_counter()


def as_the_task_does(model: Instant) -> None:
    request = REQUESTS["SpeechSynthesizer"](model, SAMPLE, 0, lambda path: model.chunks[0])
    request.ask(model.clock.now())


def seconds(function: Callable[[Instant], None], model: Instant, repeats: int) -> float:
    """Seconds of one call, over so many."""
    start = perf_counter()
    for _ in range(repeats):
        function(model)
    return (perf_counter() - start) / repeats


def whole_request(model: Instant) -> float:
    """Seconds of wall time between two requests: checking, FLAC, fsync."""
    info = DatasetInfo(name="d", version="1", description="", languages=["en"], license="", source="")
    dataset = Dataset.of(info, [Sample(id=f"s{number}", text="words") for number in range(20)])
    with tempfile.TemporaryDirectory() as folder:
        run, start = RunDirectory(Path(folder)), perf_counter()
        latency().generate.generate(Work(run, [latency()], "SpeechSynthesizer", dataset, Guest(model)))
        return (perf_counter() - start) / len(dataset)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    for count in arguments.chunks:
        model = Instant(count)
        repeats = max(20, 20_000 // count)
        rounds = [
            [seconds(function, model, repeats) for function in (bare, clock_reads, as_the_task_does)]
            for _ in range(arguments.rounds)
        ]
        report = {
            "chunks": count,
            "rounds": arguments.rounds,
            "bare_us_per_chunk": round(1e6 * float(np.median([b for b, _, _ in rounds])) / count, 3),
            "clock_us_per_chunk": round(1e6 * float(np.median([c - b for b, c, _ in rounds])) / count, 3),
            "harness_us_per_chunk": round(1e6 * float(np.median([h - b for b, _, h in rounds])) / count, 3),
            "ratio_to_clock_reads": round(float(np.median([(h - b) / (c - b) for b, c, h in rounds])), 2),
            "between_requests_ms": round(1e3 * whole_request(model), 2),
        }
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
