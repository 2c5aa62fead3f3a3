"""The timed strategy: requests one by one, or a fixed number at once, each against the adapter's clock.

The timer of a request starts when everything it needs is in memory and ends with the last piece of the answer. Where
an adapter takes one request at a time (`concurrent` is False), requests that come at once wait for each other in the
order they came, and their waiting counts, as it does for the users of such a server.
"""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from speech_eval.adapters.base import Adapter, ChatReply, ChatRequest, TranscriptionRequest
from speech_eval.adapters.clock import Clock, Occupancy
from speech_eval.audio import Audio, check_length, check_waveform
from speech_eval.engine.generate.reading import AudioReader
from speech_eval.engine.generate.requests import (
    LoadAudio,
    RawAnswer,
    chat_request,
    checked_audio,
    codes_record,
    recording,
    speech_metadata,
    synthesis_request,
    transcription_request,
)
from speech_eval.engine.generate.strategy import Strategy, Work
from speech_eval.engine.interleave import round_of
from speech_eval.records import Chunk, Sample, Timing, WarmUp

if TYPE_CHECKING:
    from speech_eval.engine.task import Task

Piece = TypeVar("Piece")


@dataclass(frozen=True)
class Timed(Strategy):
    """Streamed requests, timed by the adapter's clock.

    `concurrency` names how many requests are under way at once, each a task result of its own; empty for one request at
    a time. `warm_up` requests for each one under way come first and are not recorded among the answers.
    """

    warm_up: int = 2
    concurrency: tuple[int, ...] = ()

    axis = "concurrency"
    in_rounds = True

    def points(self, task: Task, adapter: Adapter) -> list[Task]:
        return [task.at(count) for count in self.concurrency] or [task]

    def conditions(self, task: Task, adapter: Adapter, rounds: int) -> dict[str, int | bool]:
        """`concurrency`, `warm_up` requests, `rounds`, and under load `serialized`: whether requests that come at once
        wait for each other."""
        found: dict[str, int | bool] = {"concurrency": at_once(task), "warm_up": self._warm_ups(task), "rounds": rounds}
        if at_once(task) > 1:
            found["serialized"] = not adapter.concurrent
        return found

    def _warm_ups(self, task: Task) -> int:
        return self.warm_up * at_once(task)

    def generate(self, work: Work) -> WarmUp | None:
        """Answer the samples of the round, after warming up."""
        finished = work.finished(work.task)
        # In the order of their ids: who is under way at once is part of what is measured, the manifest's order is not.
        own = (sample for sample in work.dataset.samples if round_of(sample) == work.round)
        todo = sorted((sample for sample in own if sample.id not in finished), key=lambda sample: sample.id)
        count = len(finished)
        work.report(count)
        if not todo:
            return None
        guard = threading.Lock()

        def keep(result: _Result) -> None:
            nonlocal count
            with guard:
                work.keep(work.task, [(result.sample, result.outcome, None)])
                count += 1
                work.report(count)
                work.guest.after(result.outcome, restart=at_once(work.task) == 1)

        warm: list[_Result] = []
        # Nothing is read ahead: a thread that decodes recordings would take its time from the model's.
        with AudioReader(work.dataset, todo, at_once(work.task), reads_audio=False) as (read, _):
            requests = _Pass(work, read)
            requests.take(itertools.islice(itertools.cycle(todo), self._warm_ups(work.task)), warm.append)
            requests.take(todo, keep)
        answered = [result.outcome for result in warm if isinstance(result.outcome, RawAnswer)]
        seconds = [round(answer.seconds or 0.0, 6) for answer in answered]
        return WarmUp(requests=len(warm), failed=len(warm) - len(answered), seconds=seconds)


def at_once(task: Task) -> int:
    """How many requests are under way at once."""
    return 1 if task.point is None else task.point.count


@dataclass(frozen=True)
class _Result:
    """The outcome of one request: the answer, or what the model raised."""

    sample: Sample
    outcome: RawAnswer | Exception


class _Pass:
    """Samples through the model, as many at once as the task says: each thread asks for the next one when the outcome
    of its last is kept."""

    def __init__(self, work: Work, read: LoadAudio) -> None:
        self._work, self._read = work, read
        self._request = REQUESTS[work.interface]
        self._at_once = at_once(work.task)
        self._occupancy = Occupancy(work.adapter.clock)
        one_at_a_time = self._at_once > 1 and not work.adapter.concurrent
        self._door: AbstractContextManager[None] = work.adapter.clock.queue() if one_at_a_time else nullcontext()

    def take(self, samples: Iterable[Sample], keep: Callable[[_Result], None]) -> None:
        waiting = iter(samples)
        guard = threading.Lock()

        def step() -> bool:
            with guard:
                sample = next(waiting, None)
            if sample is None:
                return False
            keep(_Result(sample, self._outcome(sample)))
            return True

        self._work.adapter.clock.together(step, self._at_once)

    def _outcome(self, sample: Sample) -> RawAnswer | Exception:
        adapter, seed = self._work.adapter, self._work.seed_of(self._work.task, sample)
        try:
            with self._work.asking([sample], self._at_once):
                request = self._request(adapter, sample, seed, self._read)
                with self._occupancy.request() as share:
                    start = adapter.clock.now()
                    with self._door:
                        request.ask(start)
                answer = request.answer()
        except Exception as error:
            return error
        timing = (answer.timing or Timing()).model_copy(update={"wall_seconds": round(share(), 6)})
        return replace(answer, timing=timing)


# ---------------------------------------------------------------------------------------------- requests


class _Request(ABC, Generic[Piece]):
    """One sample's request, with all it needs in memory. `ask` is timed; `answer` puts the pieces together."""

    def __init__(self, adapter: Any, sample: Sample, seed: int, load: LoadAudio) -> None:
        self.adapter, self.sample, self.seed = adapter, sample, seed
        self.clock: Clock = adapter.clock
        self.pieces: list[tuple[float, Piece]] = []  # seconds since the start, what came
        self.seconds = 0.0
        self.load(load)

    @abstractmethod
    def load(self, load: LoadAudio) -> None:
        """Read what the request needs."""

    @abstractmethod
    def stream(self) -> Iterator[Piece]:
        """The answer in pieces, as the adapter gives them."""

    @abstractmethod
    def answer(self) -> RawAnswer:
        """The answer, checked. Raises for anything else."""

    def ask(self, start: float) -> None:
        """Take the pieces as they come; `start` is the moment at which the request was sent."""
        now, pieces = self.clock.now, self.pieces
        for piece in self.stream():
            pieces.append((now() - start, piece))
        self.seconds = now() - start


class _Synthesis(_Request[Audio]):
    def load(self, load: LoadAudio) -> None:
        request = synthesis_request(self.sample, self.seed, load)
        prompt = request.prompt_audio
        self.request = replace(request, load_prompt=None if prompt is None else lambda: prompt)

    def stream(self) -> Iterator[Audio]:
        return self.adapter.stream(self.request)  # type: ignore[no-any-return]

    def answer(self) -> RawAnswer:
        return RawAnswer(
            audio=joined(self.pieces, self.sample),
            chunks=arrivals(self.pieces),
            seconds=self.seconds,
            metadata=speech_metadata(self.pieces[-1][1]) if self.pieces else {},
        )


class _Recognition(_Request[str]):
    def load(self, load: LoadAudio) -> None:
        self.request = transcription_request(self.sample, self.seed, self.adapter.sample_rate, load)
        if self.adapter.reads_audio:
            audio = self.request.audio
            self.request = TranscriptionRequest(self.sample.id, lambda: audio, self.sample.language, self.seed)

    def stream(self) -> Iterator[str]:
        return self.adapter.transcribe_stream(self.request)  # type: ignore[no-any-return]

    def answer(self) -> RawAnswer:
        for _, text in self.pieces:
            if not isinstance(text, str):
                raise TypeError(f"the model gave {type(text).__name__}, not a transcript")
        if not self.pieces:
            raise ValueError("the model gave no transcript")
        chunks = [Chunk(seconds=round(at, 6), frames=0, text=text) for at, text in self.pieces]
        return RawAnswer(text=self.pieces[-1][1], chunks=chunks, seconds=self.seconds)


class _Reply(_Request[ChatReply]):
    def load(self, load: LoadAudio) -> None:
        self.request: ChatRequest = chat_request(self.adapter, self.sample, self.seed, load)

    def stream(self) -> Iterator[ChatReply]:
        return self.adapter.reply_stream(self.request)  # type: ignore[no-any-return]

    def answer(self) -> RawAnswer:
        texts = [piece.text for _, piece in self.pieces if piece.text is not None]
        sounds = [(at, piece.audio) for at, piece in self.pieces if piece.audio is not None]
        chunks = [
            Chunk(
                seconds=round(at, 6), frames=0 if piece.audio is None else np.size(piece.audio.samples), text=piece.text
            )
            for at, piece in self.pieces
        ]
        text = "".join(texts) if texts else None
        return RawAnswer(text=text, audio=joined(sounds, self.sample), chunks=chunks, seconds=self.seconds)


class _Reconstruction(_Request[Audio]):
    """Encoding, then decoding as a stream. Times of the chunks run from the moment the codes are complete, when a
    receiver begins to wait."""

    def load(self, load: LoadAudio) -> None:
        self.audio = recording(self.sample, self.adapter.sample_rate, load)

    def ask(self, start: float) -> None:
        (self.codes,) = self.adapter.encode([self.audio])
        encoded = self.clock.now()
        self.encode_seconds = encoded - start
        super().ask(encoded)

    def stream(self) -> Iterator[Audio]:
        return self.adapter.stream_decode(self.codes)  # type: ignore[no-any-return]

    def answer(self) -> RawAnswer:
        return RawAnswer(
            audio=joined(self.pieces, self.sample),
            chunks=arrivals(self.pieces),
            seconds=self.encode_seconds + self.seconds,
            timing=Timing(encode_seconds=round(self.encode_seconds, 6), decode_seconds=round(self.seconds, 6)),
            codes=codes_record(self.codes, self.audio),
        )


def arrivals(pieces: Sequence[tuple[float, Audio]]) -> list[Chunk]:
    """When how many samples came."""
    return [Chunk(seconds=round(at, 6), frames=np.size(piece.samples)) for at, piece in pieces]


def joined(pieces: Sequence[tuple[float, Audio]], sample: Sample) -> Audio | None:
    """The chunks as one waveform, None where there is no sample in any of them. Raises for a rate that changes."""
    checked = [piece for _, raw in pieces if (piece := checked_audio(raw, sample.id)) is not None]
    if not checked:
        return None
    rates = {piece.rate for piece in checked}
    if len(rates) != 1:
        raise ValueError(f"the stream changed its sample rate: {sorted(rates)}")
    rate, what = rates.pop(), f"sample {sample.id}"
    check_length(sum(len(piece.samples) for piece in checked) / rate, what)
    return check_waveform(np.concatenate([piece.samples for piece in checked]), rate, what)


REQUESTS: dict[str, type[_Request[Any]]] = {
    "SpeechSynthesizer": _Synthesis,
    "SpeechRecognizer": _Recognition,
    "AudioLanguageModel": _Reply,
    "AudioCodec": _Reconstruction,
}
