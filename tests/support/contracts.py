"""What every adapter of an interface keeps to, and a task run to its end by the command, in this process."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from support.task_worlds import World
from typer.testing import CliRunner

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import (
    AudioCodec,
    AudioLanguageModel,
    ChatRequest,
    DuplexAgent,
    SpeechRecognizer,
    SpeechSynthesizer,
    SynthesisRequest,
    TranscriptionRequest,
    interfaces_of,
)
from speech_eval.audio import Audio
from speech_eval.cli.main import app


def build(spec: str) -> Any:
    """The adapter of a model spec."""
    return modelspec.resolve(spec).build()


def noise(seconds: float, rate: int = 16_000, seed: int = 0) -> Audio:
    """White noise."""
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return Audio(samples.astype(np.float32), rate)


def hear(*audios: Audio, language: str = "en") -> list[TranscriptionRequest]:
    """Requests for transcripts."""
    return [TranscriptionRequest(f"heard-{i}", lambda a=audio: a, language) for i, audio in enumerate(audios)]  # type: ignore[misc]


def say(text: str, seed: int = 0, voice: Audio | None = None, words: str | None = None) -> SynthesisRequest:
    """A request for speech, in the voice of `voice` that says `words`."""
    return SynthesisRequest(f"say-{text[:8]}-{seed}", text, "en", seed, None if voice is None else lambda: voice, words)


def ask(*parts: Audio | str, seed: int = 0, tokens: int = 6) -> ChatRequest:
    """One turn of the user."""
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "audio", "audio": part} for part in parts
    ]
    return ChatRequest(f"ask-{seed}", [{"role": "user", "content": content}], seed, tokens)


def run(spec: str, task: str, folder: Path, *words: str, metrics: str = "") -> int:
    """The exit code of `speech-eval run` over the task's four samples; its output goes to the test's own."""
    world = World.of(task, modelspec.resolve(spec).interfaces[0], folder / "data")
    chosen = ["--metrics", metrics] if metrics else []
    if world.listener:
        chosen += ["--recognizer", world.listener]  # hears nothing in what a tiny model says
    asked = ["run", "--model", spec, "--tasks", task, "--data", str(world.folder), "--workers", "1", *chosen, *words]
    done = CliRunner().invoke(app, [*asked, "--output", str(folder / "run")])
    print(done.output, done.exception)
    return done.exit_code


# ---------------------------------------------------------------------------------------------- contracts


def check_recognizer(model: SpeechRecognizer) -> None:
    """A batch hears what each recording says alone, twice the same, and its stream ends with it."""
    audios = [noise(seconds, model.sample_rate, seed) for seed, seconds in enumerate((1.0, 0.6, 1.7))]
    alone = [model.transcribe(hear(audio))[0] for audio in audios]
    assert model.transcribe(hear(*audios)) == alone == model.transcribe(hear(*audios))
    assert all(isinstance(text, str) and text for text in alone)
    assert list(model.transcribe_stream(hear(audios[0])[0]))[-1] == alone[0]


def check_chat(model: AudioLanguageModel) -> None:
    """Text, audio and both are answered; a batch answers what each request gets alone, and so does a stream; greedy
    ignores the seed."""
    spoken = noise(1.0, 22_050)  # at another rate than the model's
    asked = [ask("What is said?"), ask(spoken), ask(spoken, "What is said?", seed=3)]
    alone = [model.reply([request])[0] for request in asked]
    assert [reply.text for reply in model.reply(asked)] == [reply.text for reply in alone]
    assert all(reply.text for reply in alone)
    streamed = list(model.reply_stream(asked[2]))
    assert "".join(piece.text or "" for piece in streamed) == alone[2].text
    assert len(streamed) > 1 or streamed[0].audio is not None
    assert model.reply([ask(spoken, seed=1)])[0].text == model.reply([ask(spoken, seed=2)])[0].text


def check_synthesizer(model: SpeechSynthesizer, voice: Audio | None = None, words: str | None = None) -> None:
    """The seed decides, the batch does not; the stream is the same speech; no text is refused."""
    asked = [say("one two", 1, voice, words), say("three", 2, voice, words)]
    alone = [model.synthesize([request])[0] for request in asked]
    for together, single in zip(model.synthesize(asked), alone, strict=True):
        assert together.rate == single.rate and np.array_equal(together.samples, single.samples)
    assert all(len(audio.samples) and np.isfinite(audio.samples).all() for audio in alone)
    pieces = list(model.stream(asked[0]))
    assert np.allclose(np.concatenate([piece.samples for piece in pieces]), alone[0].samples, atol=1e-4)


def check_codec(model: AudioCodec) -> None:
    """Codes fit their sizes and rates, a batch encodes what each recording is alone, and the length comes back."""
    audios = [noise(seconds, model.sample_rate, seed) for seed, seconds in enumerate((1.0, 0.7))]
    alone = [model.encode([audio])[0] for audio in audios]
    for codes, single, audio in zip(model.encode(audios), alone, audios, strict=True):
        for book, other, size, rate in zip(
            codes.codebooks, single.codebooks, codes.codebook_sizes, codes.frame_rates, strict=True
        ):
            assert np.array_equal(book, other) and book.min() >= 0 and book.max() < size
            assert abs(len(book) - audio.seconds * rate) <= 1
        (back,) = model.decode([codes])
        assert back.rate == model.sample_rate and 0 <= len(audio.samples) - len(back.samples) < 0.01 * back.rate


def check_duplex(model: DuplexAgent) -> None:
    """The agent answers chunk for chunk, forgets at a reset, and never hears what has not arrived."""
    size = round(model.chunk_seconds * model.sample_rate)
    heard = [noise(model.chunk_seconds, model.sample_rate, seed) for seed in range(6)]
    first = _said(model, heard)
    assert all(len(chunk) == size for chunk in first)
    assert np.array_equal(first, _said(model, heard))
    other = [*heard[:4], *(noise(model.chunk_seconds, model.sample_rate, seed) for seed in (70, 71))]
    assert np.array_equal(first[:4], _said(model, other)[:4])


def _said(model: DuplexAgent, heard: Sequence[Audio]) -> list[Any]:
    model.reset()
    return [model.step(chunk).samples for chunk in heard]


def check_unloads(spec: str) -> None:
    """Nothing keeps the network of a closed adapter in memory."""
    model = build(spec)
    assert interfaces_of(model)
    network = weakref.ref(model._model)
    model.close()
    del model
    gc.collect()
    assert network() is None
