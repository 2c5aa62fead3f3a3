"""Servers of the package index behind the adapter: what each answers, how fast, and what was sent.

    python benchmarks/servers.py --litellm PROGRAM

Real weights: Whisper tiny.en and SmolLM2-135M behind `transformers serve`, Whisper tiny.en behind
faster-whisper-server, each alone and behind a LiteLLM proxy (a `litellm` program of an environment of its own; without
it the proxy is left out). Prints one JSON line per server and interface: word error rates of the whole answer and of
the stream, and the time to the first piece over that to the last.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jiwer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.real_servers import faster_whisper_server, litellm_proxy, transformers_serve

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import ChatRequest, TranscriptionRequest
from speech_eval.assets import store
from speech_eval.audio import load
from speech_eval.datasets import load_dataset
from speech_eval.text import whisper_english

KEY = "sk-benchmark-0123456789abcdef0123456789abcdef"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litellm", help="the program `litellm`")
    parser.add_argument("--limit", type=int, default=4, help="recordings")
    arguments = parser.parse_args()
    recordings = list(_recordings(arguments.limit))
    for name in ("whisper-tiny.en", "faster-whisper-tiny.en", "smollm2"):
        modelspec.resolve(name).build()
    whisper, smollm = (
        str(next(store.derived_dir(name).glob("transformers-*"))) for name in ("whisper-tiny.en", "smollm2")
    )
    with ExitStack() as stack:
        transformers = stack.enter_context(transformers_serve())
        faster = stack.enter_context(faster_whisper_server(store.directory("whisper-tiny.en")))
        _recognize("transformers serve", transformers, whisper, recordings)
        _recognize("faster-whisper-server", faster, "whisper-1", recordings)
        _chat("transformers serve", transformers, smollm)
        if arguments.litellm:
            os.environ["OPENAI_API_KEY"] = KEY
            routes = {
                "asr": {"model": "whisper-1", "api_base": faster, "mode": "audio_transcription"},
                "asr-transformers": {"model": whisper, "api_base": transformers, "mode": "audio_transcription"},
                "chat": {"model": smollm, "api_base": transformers, "mode": "chat"},
            }
            proxy = stack.enter_context(litellm_proxy(routes, arguments.litellm, KEY))
            _recognize("LiteLLM, faster-whisper-server", proxy, "asr", recordings)
            _recognize("LiteLLM, transformers serve", proxy, "asr-transformers", recordings)
            _chat("LiteLLM, transformers serve", proxy, "chat")


def _recordings(limit: int) -> Iterator[tuple[TranscriptionRequest, str]]:
    dataset = load_dataset("asterisk-en").subset(limit)
    dataset.ensure_audio()
    for sample in dataset.samples:
        audio = load(dataset.audio_path(str(sample.audio)), 16_000)
        yield TranscriptionRequest(sample.id, lambda audio=audio: audio), str(sample.text)  # type: ignore[misc]


def _recognize(server: str, url: str, model: str, recordings: list[tuple[TranscriptionRequest, str]]) -> None:
    adapter: Any = modelspec.resolve(f"openai:{url}#{model},kind=transcription,timeout=300").build()
    texts, streamed, first, whole = [], [], [], []
    for request, _ in recordings:
        texts.append(adapter.transcribe([request])[0])
        pieces = _timed(lambda request=request: adapter.transcribe_stream(request))  # type: ignore[misc]
        streamed.append(pieces[-1][1])
        first.append(pieces[0][0])
        whole.append(pieces[-1][0])
    references = [whisper_english(text) for _, text in recordings]
    _show(
        server=server,
        interface="transcription",
        wer=jiwer.wer(references, [whisper_english(text) for text in texts]),
        streamed_wer=jiwer.wer(references, [whisper_english(text) for text in streamed]),
        first_over_whole=round(sum(first) / sum(whole), 3),
    )


def _chat(server: str, url: str, model: str) -> None:
    adapter: Any = modelspec.resolve(f"openai:{url}#{model},kind=chat,timeout=300").build()
    request = ChatRequest("a", [{"role": "user", "content": [{"type": "text", "text": "Name a color."}]}], 0, 16)
    whole = adapter.reply([request])[0].text
    pieces = _timed(lambda: adapter.reply_stream(request))
    same = "".join(piece.text or "" for _, piece in pieces) == whole
    ratio = round(pieces[0][0] / pieces[-1][0], 3)
    _show(server=server, interface="chat", text=whole, stream_is_same=same, pieces=len(pieces), first_over_whole=ratio)


def _timed(ask: Callable[[], Iterator[Any]]) -> list[tuple[float, Any]]:
    """What came, and after how many seconds."""
    began = time.perf_counter()
    return [(time.perf_counter() - began, piece) for piece in ask()]


def _show(**measured: Any) -> None:
    print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main()
