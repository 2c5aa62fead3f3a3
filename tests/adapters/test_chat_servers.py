"""Audio LLMs behind a server that takes what OpenAI's types allow and nothing else, such as Ultravox on vLLM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.contracts import ask, build, noise, run

from speech_eval.adapters.base import ChatRequest

pytest.importorskip("httpx")
pytest.importorskip("openai")

from support.strict_chat import StrictChat, fault, strict_chat

ULTRAVOX = "fixie-ai/ultravox-v0_5-llama-3_2-1b"
SOUND = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictChat]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with strict_chat(ULTRAVOX) as running:
        yield running


def test_a_turn_with_speech_is_asked_in_the_types_of_the_api(server: StrictChat) -> None:
    model = build(server.spec)
    (reply,) = model.reply([ask(noise(1.5), "What is said?")])
    assert reply.text == "<1.50 s of wav> What is said?"
    assert [piece.text for piece in model.reply_stream(ask("Only text."))] == ["Only text."]
    assert not server.refused
    (turn,) = server.received[0]["messages"]
    assert [part["type"] for part in turn["content"]] == ["input_audio", "text"]


def test_turns_before_it_and_a_system_prompt_go_as_they_are(server: StrictChat) -> None:
    said: list[dict[str, Any]] = [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "audio", "audio": noise(0.5)}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]},
        {"role": "user", "content": [{"type": "audio", "audio": noise(1.0)}]},
    ]
    (reply,) = build(server.spec).reply([ChatRequest("a", said)])
    assert reply.text == "Be brief. <0.50 s of wav> Yes. <1.00 s of wav>" and not server.refused


def test_a_task_of_spoken_questions_finishes(server: StrictChat, tmp_path: Path) -> None:
    assert run(server.spec, "voicebench-mmsu", tmp_path) == 0
    assert server.received and not server.refused


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "audio", "audio": "x"}]}]}, "text"),
        ({"messages": [{"role": "user", "content": [{**SOUND, "input_audio": {"data": ""}}]}]}, "format"),
        ({"messages": [{"role": "system", "content": [SOUND]}]}, "text"),
        ({"seed": "seven"}, "seed"),
        ({"language": "en"}, "language"),
        ({"model": "another"}, "does not exist"),
    ],
)
def test_the_server_is_strict(changed: dict[str, Any], why: str) -> None:
    body = {"model": ULTRAVOX, "messages": [{"role": "user", "content": [SOUND]}], "seed": 7}
    assert not fault(body, ULTRAVOX)
    assert re.search(why, fault(body | changed, ULTRAVOX))
