"""Duplex agents: they cannot see the future, and what they are scored follows from what they do."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from manifests import librivox
from support.metric_items import reader
from turn_taking import dialogues

from speech_eval import datasets
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import DuplexAgent
from speech_eval.adapters.duplex.vad_timeout import VadTimeout
from speech_eval.assets import store as assets
from speech_eval.audio import Audio, load
from speech_eval.engine import session as runner
from speech_eval.engine.generate.answer import _ASK as ASK
from speech_eval.engine.generate.conversation import converse, user_channel
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.errors import BadInput
from speech_eval.metrics.dialogue.turn_segments import turn_of
from speech_eval.records import ModelInfo, Sample
from speech_eval.signal import vad
from speech_eval.signal.timeout_rule import Turn, sweep
from speech_eval.testing.fakes import Oracle
from speech_eval.testing.turn_oracle import TurnOracle

RATE = 16_000


class Recorder(DuplexAgent):
    """Answers each chunk with its own samples and remembers what it was given."""

    def __init__(self, rate: int = RATE, chunk_seconds: float = 0.1, extra: int = 0) -> None:
        self.rate, self.chunk_seconds, self.extra = rate, chunk_seconds, extra
        self.given: list[Audio] = []

    def info(self) -> ModelInfo:
        return ModelInfo(name="recorder")

    def reset(self) -> None:
        self.given = []

    def step(self, user_chunk: Audio) -> Audio:
        self.given.append(user_chunk)
        said = user_chunk.resampled(self.rate).samples
        return Audio(np.pad(said, (0, self.extra)), self.rate)


def ramp(seconds: float) -> Audio:
    return Audio(np.linspace(0.1, 0.9, round(seconds * RATE), dtype=np.float32), RATE)


def dialogue(pause: float, tail: float = 3.0) -> Audio:
    """A sentence, a pause, another sentence, silence."""

    def silence(seconds: float) -> np.ndarray:
        return np.zeros(round(seconds * RATE), dtype=np.float32)

    return Audio(np.concatenate([reader("0880").samples, silence(pause), reader("0930").samples, silence(tail)]), RATE)


# ------------------------------------------------------------------------------------------- causality


def test_an_agent_is_given_the_users_channel_chunk_by_chunk() -> None:
    agent, user = Recorder(), ramp(1.05)
    converse(agent, user)
    assert [len(chunk.samples) for chunk in agent.given] == [1600] * 11
    heard = np.concatenate([chunk.samples for chunk in agent.given])
    np.testing.assert_array_equal(heard[: len(user.samples)], user.samples)
    assert not heard[len(user.samples) :].any()


def test_what_it_says_to_a_chunk_is_heard_during_the_next() -> None:
    user = ramp(1.0)
    channel = converse(Recorder(), user)
    assert channel.seconds == user.seconds
    assert not channel.samples[:1600].any()
    np.testing.assert_array_equal(channel.samples[1600:], user.samples[:-1600])


def test_an_agent_may_speak_at_its_own_rate() -> None:
    channel = converse(Recorder(rate=24_000), ramp(1.0))
    assert (channel.rate, channel.seconds) == (24_000, 1.0)


def test_an_agent_that_says_more_than_it_has_time_for_is_refused() -> None:
    with pytest.raises(ValueError, match=r"did not return 0\.1 s"):
        converse(Recorder(extra=1), ramp(0.5))


@pytest.mark.parametrize("agent", [VadTimeout(timeout=0.3), Oracle(), Recorder()], ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("moment", [1.5, 4.0, 5.05])
def test_changing_later_audio_does_not_change_earlier_output(agent: DuplexAgent, moment: float) -> None:
    user = dialogue(pause=0.8, tail=1.0)
    at = round(moment * RATE)
    noise = 0.3 * np.random.default_rng(0).standard_normal(len(user.samples) - at)
    other = Audio(np.concatenate([user.samples[:at], noise.astype(np.float32)]), RATE)
    first, second = converse(agent, user), converse(agent, other)
    edge = round(moment * first.rate)
    np.testing.assert_array_equal(first.samples[:edge], second.samples[:edge])
    assert (first.samples[edge:] != second.samples[edge:]).any()


# --------------------------------------------------------------------------------------- users' channels


def test_a_channel_is_its_parts_laid_into_silence() -> None:
    parts = {"a": Audio(np.full(100, 0.5, np.float32), RATE), "b": Audio(np.full(50, 0.25, np.float32), RATE)}
    sample = Sample(id="s", audio="a", metadata={"parts": [["a", 0.0], ["b", 0.01]], "seconds": 0.02})
    samples = user_channel(sample, parts.__getitem__).samples
    assert len(samples) == 320
    assert (samples[:100] == 0.5).all() and (samples[160:210] == 0.25).all()
    assert not samples[100:160].any() and not samples[210:].any()


def test_a_part_that_does_not_fit_is_an_error() -> None:
    sample = Sample(id="s", audio="a", metadata={"parts": [["a", 0.0]], "seconds": 0.001})
    with pytest.raises(ValueError, match="ends after the channel"):
        user_channel(sample, lambda path: ramp(0.1))


def test_the_bundled_dialogues_are_what_their_builder_makes() -> None:
    info, samples = dialogues(librivox()[1])
    bundled = datasets.load_dataset("turn-taking-en")
    assert bundled.info == info and list(bundled.samples) == samples
    pauses = [round(end - start, 2) for sample in samples for start, end in sample.metadata["pauses"]]
    assert sorted(set(pauses)) == [0.3, 0.6, 0.9, 1.2] and len(samples) == 20


# ----------------------------------------------------------------------------------- voice activity


def test_probabilities_do_not_depend_on_how_the_stream_is_cut() -> None:
    samples = reader("0930").samples
    whole = vad.SileroVAD().push(samples)
    stream = vad.SileroVAD()
    pieces = [p for at in range(0, len(samples), 777) for p in stream.push(samples[at : at + 777])]
    assert pieces == whole and len(whole) == len(samples) // vad.FRAME


def test_segments_lie_where_the_speech_is() -> None:
    first, second = vad.segments_of(dialogue(pause=1.0))
    # The reader speaks from 0.23 to 2.88 s of the first clip and to 3.07 s of the second, which begins at 3.99 s; the
    # onset of its room tone after digital silence may be taken for speech.
    assert first == pytest.approx((0.23, 2.88), abs=0.05)
    assert second[0] == pytest.approx(3.99 + 0.13, abs=0.17)
    assert second[1] == pytest.approx(3.99 + 3.07, abs=0.05)
    assert vad.segments_of(Audio(np.zeros(RATE, np.float32), RATE)) == []


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([], {"cut_off": 0, "turn": 0, "clean": 0, "latency": 0}),
        ([(5.5, 7.5)], {"cut_off": 0, "turn": 1, "clean": 1, "latency": 0.5}),
        ([(4.95, 7.5)], {"cut_off": 0, "turn": 1, "clean": 1, "latency": -0.05}),
        ([(2.0, 3.0), (5.5, 7.5)], {"cut_off": 1, "turn": 1, "clean": 0, "latency": 0}),
        ([(4.0, 7.5)], {"cut_off": 1, "turn": 1, "clean": 0, "latency": 0}),
        ([(5.5, 6.2)], {"cut_off": 0, "turn": 0, "clean": 0, "latency": 0}),
        ([(5.5, 5.9), (6.3, 6.8)], {"cut_off": 0, "turn": 1, "clean": 1, "latency": 0.5}),
    ],
)
def test_a_clean_turn_begins_after_the_end_and_lasts_a_second(
    segments: list[tuple[float, float]], expected: dict[str, float]
) -> None:
    assert turn_of(segments, 5.0) == pytest.approx(expected)


# ------------------------------------------------------------------------------------------- the task


@cache
def four_dialogues() -> datasets.Dataset:
    """The shortest dialogues that have each of the four pauses."""
    bundled = datasets.load_dataset("turn-taking-en")
    kept = tuple(s for s in bundled.samples if s.cluster == "librivox-0880")
    return datasets.Dataset.of(bundled.info, kept)


def run(model: str, folder: Path, limit: int | None = None) -> dict[str, float | None]:
    """The strict numbers of a model on the four dialogues."""
    dataset = four_dialogues()
    lines = [dataset.info.line(), *(sample.line() for sample in dataset.samples)]
    data = folder / "four.jsonl"
    data.write_text("\n".join(lines) + "\n")
    settings = Settings(data=str(data), workers=1, limit=limit)
    results = runner.run(modelspec.parse(model), ["turn-taking"], folder / model, settings)
    return {metric.name: metric.strict.value for metric in results.tasks[0].metrics}


TIMEOUTS = [0.5, 0.8, 1.4]


@pytest.mark.slow
def test_with_the_timeout_false_cut_offs_fall_and_latency_grows(tmp_path: Path) -> None:
    eager, middling, patient = (run(f"vad-timeout,timeout={timeout}", tmp_path) for timeout in TIMEOUTS)
    assert [r["false-cut-offs"] for r in (eager, middling, patient)] == [50.0, 25.0, 0.0]
    assert [r["clean-turns"] for r in (eager, middling, patient)] == [50.0, 75.0, 100.0]
    assert [r["latency"] for r in (eager, middling, patient)] == pytest.approx(TIMEOUTS, abs=0.12)
    assert eager["tor"] == patient["tor"] == 1.0


def test_the_sweep_predicts_what_the_agent_does() -> None:
    dataset = four_dialogues()
    dataset.ensure_audio()
    turns = [
        Turn(
            vad.probabilities(user_channel(sample, lambda path: load(dataset.audio_path(path)))),
            sample.metadata["turn_end"],
            tuple((start, end) for start, end in sample.metadata["pauses"]),
        )
        for sample in dataset.samples
    ]
    # At 0.8 s the two differ: in the pause of 0.9 s the agent is heard for less than the 0.25 s of a speech segment.
    points = sweep(turns, [0.5], TIMEOUTS, vad.FRAME_SECONDS)
    assert [point.false_cut_offs for point in points] == [0.5, 0.5, 0.0]
    assert [point.latency for point in points] == pytest.approx(TIMEOUTS, abs=0.12)


def test_the_oracle_is_as_late_as_it_means_to_be_and_its_channel_is_stored(tmp_path: Path) -> None:
    found = run("turn-oracle,delay=0.4", tmp_path)
    assert (found["clean-turns"], found["false-cut-offs"], found["tor"]) == (100.0, 0.0, 1.0)
    assert found["latency"] == pytest.approx(0.4, abs=0.05)
    directory = RunDirectory(tmp_path / "turn-oracle,delay=0.4")
    for sample in directory.samples("turn-taking"):
        stored = directory.outputs("turn-taking")[sample.id].audio
        assert stored is not None
        channel = load(directory.audio_path(stored))
        assert channel.seconds == pytest.approx(sample.metadata["seconds"], abs=0.001)
        onset = round((sample.metadata["turn_end"] + 0.4) * RATE)
        assert not channel.samples[:onset].any() and channel.samples[onset : onset + 1600].any()


def test_the_oracle_of_all_interfaces_takes_every_turn_too(tmp_path: Path) -> None:
    found = run("oracle", tmp_path)
    assert (found["clean-turns"], found["false-cut-offs"], found["tor"]) == (100.0, 0.0, 1.0)
    assert found["latency"] == pytest.approx(0.2, abs=0.05)


def test_a_silent_agent_takes_no_turn_and_cuts_nobody_off(tmp_path: Path) -> None:
    found = run("vad-timeout,timeout=60", tmp_path, limit=1)
    assert found == {"clean-turns": 0.0, "false-cut-offs": 0.0, "tor": 0.0, "latency": None}


class Talker(Recorder):
    """Says that it wrote a word per chunk."""

    def words(self) -> list[tuple[str, float]]:
        return [(f"word-{number}", number * self.chunk_seconds) for number in range(len(self.given))]


@pytest.mark.parametrize(
    ("agent", "metadata"), [(Talker(), {"words": [["word-0", 0.0], ["word-1", 0.1]]}), (Recorder(), {})]
)
def test_words_that_an_agent_writes_are_kept_with_its_answer(agent: Recorder, metadata: dict[str, object]) -> None:
    sample = Sample(id="a", language="en", audio="a.wav")
    (answer,) = ASK["DuplexAgent"](agent, [sample], [0], lambda _: ramp(0.2))
    assert answer.metadata == metadata and answer.audio is not None


@pytest.mark.parametrize(
    "make", [lambda: VadTimeout(timeout=-1), lambda: VadTimeout(threshold=2), lambda: TurnOracle(delay=-0.1)]
)
def test_options_that_make_no_sense_are_refused(make: type) -> None:
    with pytest.raises(BadInput):
        make()


def test_the_agents_say_what_they_are() -> None:
    info = VadTimeout(timeout=0.5).info()
    assert info.weights_sha256 == assets.ASSETS["silero-vad"].files["silero_vad.onnx"]
    assert info.metadata["timeout"] == 0.5
