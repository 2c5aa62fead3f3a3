"""Timed tasks on scripted models with a simulated clock: every number is known beforehand, to the microsecond."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech_eval.adapters.base import (
    Adapter,
    AudioCodec,
    AudioLanguageModel,
    ChatReply,
    ChatRequest,
    Codes,
    SpeechRecognizer,
    SpeechSynthesizer,
    SynthesisRequest,
    TranscriptionRequest,
)
from speech_eval.audio import Audio
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine import interleave as rounds
from speech_eval.engine.generate.guest import Guest
from speech_eval.engine.generate.strategy import Work
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.task import Task
from speech_eval.errors import BadInput, MissingExtra
from speech_eval.records import DatasetInfo, ModelInfo, Output, Sample, Timing, WarmUp
from speech_eval.tasks.latency import latency, latency_load
from speech_eval.testing.simulated_clock import SimulatedClock

RATE = 16_000
INFO = DatasetInfo(name="d", version="1", description="", languages=["en"], license="CC0-1.0", source="test")


def sound(seconds: float, level: float = 0.3) -> Audio:
    return Audio(np.full(round(seconds * RATE), level, np.float32), RATE)


class Scripted(Adapter):
    """Answers by a script: seconds to wait, then a piece."""

    def __init__(self, concurrent: bool = True) -> None:
        self.clock: SimulatedClock = SimulatedClock()
        self.concurrent = concurrent
        self.asked: list[str] = []

    def info(self) -> ModelInfo:
        return ModelInfo(name="scripted")

    def play(self, script: Sequence[tuple[float, Any]]) -> Iterator[Any]:
        for seconds, piece in script:
            self.clock.advance(seconds)
            yield piece


class Voice(Scripted, SpeechSynthesizer):
    """Says each text by the script of its id, or after `<text>` seconds all at once, 2 s of sound."""

    def __init__(self, script: Sequence[tuple[float, Audio]] = (), **options: Any) -> None:
        super().__init__(**options)
        self.script = script

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        raise AssertionError("a timed task streams")

    def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
        self.asked.append(request.id)
        yield from self.play(self.script or [(float(request.text), sound(2.0))])


class Ears(Scripted, SpeechRecognizer):
    reads_audio = False

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        raise AssertionError("it has partial results")

    def transcribe_stream(self, request: TranscriptionRequest) -> Iterator[str]:
        yield from self.play([(0.2, ""), (0.1, "good"), (0.4, "good morning")])


class Talker(Scripted, AudioLanguageModel):
    reads_audio = False

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        raise AssertionError("it streams")

    def reply_stream(self, request: ChatRequest) -> Iterator[ChatReply]:
        quiet, loud = sound(0.5, 0.0), sound(1.0)
        pieces = [ChatReply("Good "), ChatReply("day.", quiet), ChatReply(audio=loud)]
        yield from self.play(list(zip((0.3, 0.2, 0.4), pieces, strict=True)))


class Coder(Scripted, AudioCodec):
    sample_rate = RATE

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        self.clock.advance(0.4)
        return [Codes([np.zeros(20, np.int64), np.zeros(10, np.int64)], [20.0, 10.0], [8, 8]) for _ in audios]

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        raise AssertionError("a timed task streams")

    def stream_decode(self, codes: Codes) -> Iterator[Audio]:
        yield from self.play([(0.1, sound(0.5)), (0.1, sound(0.5))])


def dataset(*texts: str, root: Path | None = None, audio: str | None = None) -> Dataset:
    samples = [Sample(id=f"s{number}", text=text, audio=audio) for number, text in enumerate(texts)]
    return Dataset.of(INFO, samples, root)


def ask(
    folder: Path, adapter: Any, interface: str, data: Dataset, task: Task | None = None, **options: Any
) -> tuple[dict[str, Output], WarmUp | None]:
    """Answers by sample, and the record of the warm-up."""
    run, task = RunDirectory(folder), task or latency()
    warm = task.generate.generate(Work(run, [task], interface, data, Guest(adapter), **options))
    return run.outputs(task.name), warm


def wall_seconds(output: Output) -> float:
    assert output.timing is not None and output.timing.wall_seconds is not None
    return output.timing.wall_seconds


def times(output: Output) -> list[tuple[float, int]]:
    return [(chunk.seconds, chunk.frames) for chunk in output.chunks or []]


# ---------------------------------------------------------------------------------------- one at a time


def test_chunks_of_a_voice_are_stored_with_their_times(tmp_path: Path) -> None:
    voice = Voice([(0.1, Audio(np.zeros(0, np.float32), RATE)), (0.1, sound(0.5)), (0.7, sound(0.25))])
    outputs, _ = ask(tmp_path, voice, "SpeechSynthesizer", dataset("a"))
    assert times(outputs["s0"]) == [(0.1, 0), (0.2, 8000), (0.9, 4000)]
    assert outputs["s0"].seconds == 0.9 and outputs["s0"].timing == Timing(wall_seconds=0.9)


def test_partial_transcripts_are_stored_and_the_last_is_the_answer(tmp_path: Path) -> None:
    outputs, _ = ask(tmp_path, Ears(), "SpeechRecognizer", dataset("a"))
    assert outputs["s0"].text == "good morning" and outputs["s0"].seconds == 0.7
    assert [(c.seconds, c.text) for c in outputs["s0"].chunks or []] == [
        (0.2, ""),
        (0.3, "good"),
        (0.7, "good morning"),
    ]


def test_text_and_sound_of_a_reply_are_put_together(tmp_path: Path) -> None:
    outputs, _ = ask(tmp_path, Talker(), "AudioLanguageModel", dataset("a"))
    assert outputs["s0"].text == "Good day." and outputs["s0"].audio is not None
    assert outputs["s0"].audio.frames == 24_000 and outputs["s0"].seconds == 0.9
    assert times(outputs["s0"]) == [(0.3, 0), (0.5, 8000), (0.9, 16_000)]


def test_a_codec_is_timed_in_two_halves(tmp_path: Path) -> None:
    RunDirectory(tmp_path).write_audio("x", "a", sound(1.0))
    (file,) = (tmp_path / "audio/x").glob("*.flac")
    data = dataset("a", root=file.parent, audio=file.name)
    outputs, _ = ask(tmp_path / "run", Coder(), "AudioCodec", data)
    assert outputs["s0"].timing == Timing(wall_seconds=0.6, encode_seconds=0.4, decode_seconds=0.2)
    assert times(outputs["s0"]) == [(0.1, 8000), (0.2, 8000)] and outputs["s0"].seconds == 0.6


def test_warm_up_requests_come_first_and_are_recorded_apart(tmp_path: Path) -> None:
    voice = Voice()
    outputs, warm = ask(tmp_path, voice, "SpeechSynthesizer", dataset("1", "2", "4"))
    assert voice.asked == ["s0", "s1", "s0", "s1", "s2"]
    assert warm == WarmUp(requests=2, failed=0, seconds=[1.0, 2.0]) and len(outputs) == 3


def test_failing_warm_up_requests_are_counted(tmp_path: Path) -> None:
    outputs, warm = ask(tmp_path, Voice(), "SpeechSynthesizer", dataset("no number", "2"))
    assert warm == WarmUp(requests=2, failed=1, seconds=[2.0])
    assert outputs["s0"].status == "failed" and "no number" in str(outputs["s0"].error)


def test_an_interrupted_pass_goes_on_with_what_is_left(tmp_path: Path) -> None:
    class Stopping(Voice):
        def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
            if len(self.asked) == 2 + 2:
                raise KeyboardInterrupt
            yield from super().stream(request)

    data = dataset("1", "1", "1", "1")
    with pytest.raises(KeyboardInterrupt):
        ask(tmp_path, Stopping(), "SpeechSynthesizer", data)
    voice = Voice()
    outputs, _ = ask(tmp_path, voice, "SpeechSynthesizer", data)
    assert voice.asked == ["s2", "s3", "s2", "s3"] and sorted(outputs) == ["s0", "s1", "s2", "s3"]
    assert ask(tmp_path, voice, "SpeechSynthesizer", data)[1] is None


def test_a_stream_that_changes_its_rate_is_a_failed_sample(tmp_path: Path) -> None:
    voice = Voice([(0.1, sound(0.1)), (0.1, Audio(sound(0.1).samples, 8000))])
    outputs, _ = ask(tmp_path, voice, "SpeechSynthesizer", dataset("a"))
    assert outputs["s0"].status == "failed" and "sample rate" in str(outputs["s0"].error)


# ----------------------------------------------------------------------------------------- several at once


def load_at(count: int) -> Task:
    return latency_load().at(count)


def test_requests_at_once_run_side_by_side(tmp_path: Path) -> None:
    outputs, warm = ask(tmp_path, Voice(), "SpeechSynthesizer", dataset("1", "3", "1", "1"), load_at(2))
    assert [outputs[f"s{n}"].seconds for n in range(4)] == [1.0, 3.0, 1.0, 1.0]
    # Two are under way at every moment of three seconds.
    assert [wall_seconds(outputs[f"s{n}"]) for n in range(4)] == [0.5, 1.5, 0.5, 0.5]
    assert warm is not None and warm.requests == 4


def test_requests_wait_for_each_other_where_a_model_takes_one_at_a_time(tmp_path: Path) -> None:
    voice = Voice(concurrent=False)
    outputs, _ = ask(tmp_path, voice, "SpeechSynthesizer", dataset("1", "1", "1", "1"), load_at(2))
    assert [times(outputs[f"s{n}"])[0][0] for n in range(4)] == [1.0, 2.0, 2.0, 2.0]
    assert sum(wall_seconds(output) for output in outputs.values()) == 4.0


def test_more_threads_than_samples_are_no_harm(tmp_path: Path) -> None:
    outputs, _ = ask(tmp_path, Voice(), "SpeechSynthesizer", dataset("1", "1", "1"), load_at(8))
    assert [wall_seconds(output) for output in outputs.values()] == pytest.approx([1 / 3] * 3, abs=1e-6)


def test_two_passes_under_load_are_equal_line_by_line(tmp_path: Path) -> None:
    texts = [str(1 + number % 3) for number in range(20)]
    for name in ("a", "b"):
        ask(tmp_path / name, Voice(), "SpeechSynthesizer", dataset(*texts), load_at(4))
    first, second = (next((tmp_path / name / "outputs").iterdir()).read_bytes() for name in ("a", "b"))
    assert first == second and len(first.splitlines()) == 20


def test_what_is_not_installed_stops_all_threads(tmp_path: Path) -> None:
    class Lacking(Voice):
        def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
            if request.id == "s9" and len(self.asked) >= 8 + 9:
                raise MissingExtra("nothing", "none")
            yield from super().stream(request)

    with pytest.raises(MissingExtra):
        ask(tmp_path, Lacking(), "SpeechSynthesizer", dataset(*"1" * 40), load_at(4))
    assert len(RunDirectory(tmp_path).outputs(load_at(4).name)) < 40


@pytest.mark.parametrize("concurrent", [True, False])
def test_the_conditions_say_whether_requests_were_serialized(concurrent: bool) -> None:
    task = load_at(4)
    found = task.generate.conditions(task, Voice(concurrent=concurrent), rounds=5)
    assert found == {"concurrency": 4, "warm_up": 8, "rounds": 5, "serialized": not concurrent}


# ----------------------------------------------------------------------------------------------- rounds


def test_rounds_repeat_every_sample_under_an_id_of_its_own() -> None:
    data = Dataset.of(INFO, [Sample(id="a", metadata={"x": 1}), Sample(id="b", cluster="talk")])
    found = rounds.expand(data, 2)
    assert [sample.id for sample in found.samples] == ["a@1", "b@1", "a@2", "b@2"]
    assert [(s.item, rounds.round_of(s)) for s in found.samples] == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert [sample.cluster for sample in found.samples] == ["item a", "talk", "item a", "talk"]
    assert found.samples[0].metadata["x"] == 1 and found.sha256 == data.sha256


def test_one_round_leaves_the_data_as_it_is() -> None:
    data = dataset("a", "b")
    assert rounds.expand(data, 1) is data and rounds.round_of(data.samples[0]) == 1
    with pytest.raises(BadInput):
        rounds.expand(data, 0)
