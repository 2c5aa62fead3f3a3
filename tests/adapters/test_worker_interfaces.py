"""The five interfaces through a worker: what arrives on the other side, what comes back, and streams."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support.worker_folders import built, worker_folder
from typer.testing import CliRunner

from speech_eval import load_run
from speech_eval.adapters.base import (
    INTERFACES,
    ChatReply,
    ChatRequest,
    SynthesisRequest,
    TranscriptionRequest,
    interfaces_of,
)
from speech_eval.adapters.remote.worker.exchange import WorkerError
from speech_eval.audio import Audio
from speech_eval.cli.main import app
from speech_eval.engine.generate.conversation import converse

WORKER = """
import json, random, time
from speech_eval_worker import Audio, serve

class Worker:
    sample_rate, chunk_seconds, depths = 8000, 0.04, [1, 2]

    def transcribe(self, request):
        found = {"id": request.id, "language": request.language, "seed": request.seed, "draw": random.random()}
        return json.dumps({**found, "rate": request.audio.rate, "samples": list(request.audio.samples)})

    def transcribe_stream(self, request):
        for text in ("one", "one two"):
            yield text
            time.sleep(0.3)

    def synthesize(self, request):
        prompt = request.prompt_audio
        told = {"text": request.text, "prompt_text": request.prompt_text, "prompt": prompt and prompt.path}
        return Audio(prompt.samples if prompt else [0.25] * len(request.text), prompt.rate if prompt else 8000, told)

    def stream(self, request):
        for letter in request.text:
            yield Audio([ord(letter) / 256] * 80, 8000)
            time.sleep(0.1)

    def reply(self, request):
        kinds = [part["type"] for message in request.messages for part in message["content"]]
        sounds = [part["audio"] for message in request.messages for part in message["content"] if "audio" in part]
        text = json.dumps([kinds, [message["role"] for message in request.messages], request.max_new_tokens])
        return {"text": text, "audio": Audio([-s for s in sounds[0].samples], sounds[0].rate)} if sounds else text

    def reply_stream(self, request):
        yield {"text": "so "}
        yield "it "
        yield {"audio": Audio([0.5] * 80, 8000)}

    def encode(self, audio):
        codes = [int(100 * (s + 1)) for s in audio.samples]
        told = {"codebooks": [codes, codes[::2]], "frame_rates": [8000, 4000], "codebook_sizes": [256, 256]}
        return {**told, "metadata": {"frames": len(codes)}}

    def decode(self, codes):
        assert codes["metadata"]["frames"]
        return Audio([c / 100 - 1 for c in codes["codebooks"][0]], 8000)

    def reset(self):
        self.heard = [0.0]

    def step(self, audio):
        self.heard.append(max(audio.samples))
        return Audio([self.heard[-2]] * 320, 8000)

serve(Worker)
"""
SOUND = np.random.default_rng(0).uniform(-0.9, 0.9, 640).astype(np.float32)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    adapter = built(worker_folder(tmp_path_factory.mktemp("all"), WORKER, *INTERFACES))
    yield adapter
    adapter.close()


def listen(seed: int = 0, rate: int = 8000) -> TranscriptionRequest:
    return TranscriptionRequest("a b/c", lambda: Audio(SOUND, rate), "zh", seed)


def arrivals(pieces: Iterator[Any]) -> list[tuple[float, Any]]:
    start = time.monotonic()
    return [(time.monotonic() - start, piece) for piece in pieces]


def test_a_worker_has_the_interfaces_that_its_description_names(worker: Any, tmp_path: Path) -> None:
    assert interfaces_of(worker) == list(INTERFACES)
    fewer = built(worker_folder(tmp_path, WORKER, "AudioCodec", "SpeechRecognizer"))
    assert interfaces_of(fewer) == ["SpeechRecognizer", "AudioCodec"]
    fewer.close()


def test_its_attributes_are_those_of_the_adapter(worker: Any) -> None:
    assert (worker.sample_rate, worker.chunk_seconds, list(worker.depths)) == (8000, 0.04, [1, 2])


# --------------------------------------------------------------------------------------- recognition


def test_a_recording_arrives_sample_for_sample(worker: Any) -> None:
    heard = json.loads(worker.transcribe([listen(7)])[0])
    assert (heard["id"], heard["language"], heard["seed"], heard["rate"]) == ("a b/c", "zh", 7, 8000)
    np.testing.assert_array_equal(np.array(heard["samples"], dtype=np.float32), SOUND)


def test_generators_are_seeded_by_the_request_alone(worker: Any) -> None:
    draws = [json.loads(text)["draw"] for text in worker.transcribe([listen(1), listen(2), listen(1)])]
    assert draws[0] == draws[2] != draws[1]


def test_a_transcript_streams_as_it_grows(worker: Any) -> None:
    (first, one), (second, two) = arrivals(worker.transcribe_stream(listen()))
    assert (one, two) == ("one", "one two") and second - first > 0.2


# --------------------------------------------------------------------------------------- synthesis


def test_a_voice_prompt_goes_and_comes_back_sample_for_sample(worker: Any) -> None:
    request = SynthesisRequest("a", "words", load_prompt=lambda: Audio(SOUND, 44_100), prompt_text="said")
    spoken = worker.synthesize([request])[0]
    assert spoken.rate == 44_100 and spoken.metadata["prompt_text"] == "said"
    np.testing.assert_array_equal(spoken.samples, SOUND)


def test_no_path_is_given_twice_and_none_is_left(worker: Any) -> None:
    request = SynthesisRequest("a", "words", load_prompt=lambda: Audio(SOUND, 16_000))
    paths = {worker.synthesize([request])[0].metadata["prompt"] for _ in range(3)}
    assert len(paths) == 3 and not any(Path(path).exists() for path in paths)


def test_speech_streams_piece_by_piece(worker: Any) -> None:
    found = arrivals(worker.stream(SynthesisRequest("a", "abc")))
    assert [float(piece.samples[0]) for _, piece in found] == [ord(letter) / 256 for letter in "abc"]
    assert found[2][0] - found[0][0] > 0.15


def test_a_stream_that_is_left_does_not_disturb_the_next_request(worker: Any) -> None:
    left = worker.stream(SynthesisRequest("a", "abcdef"))
    assert next(left).samples[0] == ord("a") / 256
    assert len(worker.synthesize([SynthesisRequest("b", "four")])[0].samples) == 4


# --------------------------------------------------------------------------------------- conversation


def test_a_conversation_arrives_with_its_audio(worker: Any) -> None:
    user = {"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "audio", "audio": Audio(SOUND, 8000)}]}
    system = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    (reply,) = worker.reply([ChatRequest("a", [system, user], max_new_tokens=9)])
    assert json.loads(reply.text) == [["text", "text", "audio"], ["system", "user"], 9]
    np.testing.assert_array_equal(reply.audio.samples, -SOUND)


def test_a_reply_may_be_a_text_alone_and_streams_in_pieces(worker: Any) -> None:
    request = ChatRequest("a", [{"role": "user", "content": [{"type": "text", "text": "?"}]}])
    assert worker.reply([request])[0].audio is None
    pieces: list[ChatReply] = list(worker.reply_stream(request))
    assert [piece.text for piece in pieces] == ["so ", "it ", None] and pieces[2].audio is not None


# --------------------------------------------------------------------------------------- codes


def test_codes_and_their_metadata_come_back_for_decoding(worker: Any) -> None:
    (codes,) = worker.encode([Audio(SOUND, 8000)])
    assert (codes.frame_rates, codes.codebook_sizes, codes.metadata) == ([8000, 4000], [256, 256], {"frames": 640})
    assert [book.dtype.kind for book in codes.codebooks] == ["i", "i"]
    np.testing.assert_allclose(worker.decode([codes])[0].samples, SOUND, atol=0.011)
    assert len(list(worker.stream_decode(worker.truncate(codes, 1)))) == 1


def test_codes_without_a_size_are_refused(tmp_path: Path) -> None:
    code = WORKER.replace('"codebook_sizes": [256, 256]', '"codebook_sizes": [256]')
    adapter = built(worker_folder(tmp_path, code, "AudioCodec"))
    with pytest.raises(WorkerError, match="2 codebooks, 2 frame rates and 1 sizes"):
        adapter.encode([Audio(SOUND, 8000)])
    adapter.close()


# --------------------------------------------------------------------------------------- duplex


def test_an_agent_hears_and_speaks_in_steps(worker: Any) -> None:
    """It answers with the loudest sample of the chunk before; the harness hears it one chunk later."""
    user = np.repeat(np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32), 320)
    for _ in range(2):  # and forgets a conversation
        heard = converse(worker, Audio(user, 8000))
        np.testing.assert_array_equal(heard.samples, np.repeat(np.array([0, 0, 0.1, 0.2], dtype=np.float32), 320))


# --------------------------------------------------------------------------------------- the same as in process

VOICE = """
import numpy as np
{imports}

class Voice{base}:
    def __init__(self, hertz=220.0):
        self.hertz = hertz

    def info(self):
        return {info}(name="voice")

    def synthesize(self, {argument}):
        return {answer}

    def _speak(self, request):
        prompt = np.asarray(request.prompt_audio.samples, dtype=np.float32)
        time = np.arange(round(0.06 * len(request.text) * 16000)) / 16000
        noise = np.random.default_rng(request.seed).normal(0, 0.01, len(time))
        tone = 0.3 * np.sin(2 * np.pi * self.hertz * time) + noise
        return Audio((tone + 0.1 * prompt.std()).astype(np.float32), 16000)

{end}
"""
INSIDE = {
    "imports": "from speech_eval import Audio, ModelInfo, SpeechSynthesizer",
    "base": "(SpeechSynthesizer)",
    "info": "ModelInfo",
    "argument": "requests",
    "answer": "[self._speak(request) for request in requests]",
    "end": "",
}
OUTSIDE = {
    "imports": "from speech_eval_worker import Audio, serve",
    "base": "",
    "info": "dict",
    "argument": "request",
    "answer": "self._speak(request)",
    "end": "serve(Voice)",
}


# Hears as many words as there are loud samples, so that the error rate tells two recordings apart.
EAR = """
from speech_eval import ModelInfo, SpeechRecognizer

class Ear(SpeechRecognizer):
    def info(self):
        return ModelInfo(name="ear")

    def transcribe(self, requests):
        return ["word " * int((abs(request.audio.samples) > 0.3).sum()) for request in requests]
"""
WER = "wer[seed-tts-eval@2024-06]"


def seed_tts(folder: Path) -> Path:
    """Three samples of Seed-TTS-eval's layout with generated prompts."""
    (folder / "prompts").mkdir(parents=True)
    lines = []
    for number, text in enumerate(("The cat sat down.", "It rained all day.", "Nobody knew why.")):
        sound = np.random.default_rng(number).normal(0, 0.1, 16_000 + number).astype(np.float32)
        soundfile.write(folder / "prompts" / f"{number}.wav", sound, 16_000, subtype="FLOAT")
        record = {"id": f"s{number}", "text": text, "prompt_audio": f"prompts/{number}.wav", "prompt_text": "hello"}
        lines.append(json.dumps(record))
    (folder / "set.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "set.jsonl"


def test_seed_tts_through_a_worker_is_equal_byte_for_byte(tmp_path: Path) -> None:
    data = seed_tts(tmp_path / "data")
    (tmp_path / "voice.py").write_text(VOICE.format(**INSIDE))
    (tmp_path / "ear.py").write_text(EAR)
    folder = worker_folder(tmp_path, VOICE.format(**OUTSIDE), "SpeechSynthesizer")
    specs = {"in": f"{tmp_path}/voice.py:Voice,hertz=330", "out": f"worker:{folder},python={sys.executable},hertz=330"}
    for name, spec in specs.items():
        words = ["run", "--model", spec, "--tasks", "seed-tts-en", "--data", str(data), "--workers", "1"]
        words += ["--recognizer", f"{tmp_path}/ear.py:Ear", "--metrics", WER, "-o", str(tmp_path / name)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    sounds = [{file.name: file.read_bytes() for file in (tmp_path / n).rglob("*.flac")} for n in specs]
    assert sounds[0] == sounds[1] and len(sounds[0]) == 3
    runs = [load_run(tmp_path / name) for name in specs]
    assert runs[0].results.tasks[0].metrics == runs[1].results.tasks[0].metrics
    assert runs[0].manifest.model.code.keys() == {"voice.py"}
    assert runs[1].manifest.model.code.keys() == {"worker.py", "worker.toml"}
