"""The connection to a server: refusals that will not change, bounds of answers, and what the server says it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.openai_server import Fault, Server, impatient

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import ChatRequest, TranscriptionRequest
from speech_eval.adapters.remote.endpoint import EndpointError, EndpointUnavailable
from speech_eval.adapters.remote.openai import OpenAIEndpoint
from speech_eval.audio import Audio
from speech_eval.engine.generate.guest import GivenUp
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import run
from speech_eval.engine.settings import Settings
from speech_eval.errors import BadInput

pytest.importorskip("httpx")


server = pytest.fixture(impatient)


def build(server: Server) -> OpenAIEndpoint:
    return modelspec.resolve(f"openai:{server.url}#tiny").build()  # type: ignore[return-value]


def speech(frames: int) -> TranscriptionRequest:
    return TranscriptionRequest(str(frames), lambda: Audio(np.zeros(frames, dtype=np.float32), 16_000))


def chat() -> ChatRequest:
    return ChatRequest("a", [{"role": "user", "content": [{"type": "text", "text": "what is it?"}]}])


# ------------------------------------------------------------------------------- refusals that do not change


def _run(server_url: str, folder: Path, options: str = "") -> RunDirectory:
    (folder / "set.jsonl").write_text("".join(f'{{"id": "s{n}", "text": "word"}}\n' for n in range(8)))
    settings = Settings(data=str(folder / "set.jsonl"), workers=1)
    model = f"openai:{server_url}#tiny,kind=speech,retries=0{options}"
    run(model, ["latency"], folder / "run", settings)
    return RunDirectory(folder / "run")


REFUSALS = [
    Fault(401, b'{"error": {"message": "Incorrect API key"}}'),
    Fault(403, b"forbidden"),
    Fault(404, b'{"error": {"message": "The model `tiny` does not exist"}}'),
    Fault(400, b'{"error": {"message": "model tiny not found"}}'),
    Fault(307, b"", {"Location": "http://127.0.0.1:9/"}),
]


@pytest.mark.parametrize("fault", REFUSALS, ids=lambda fault: str(fault.status))
def test_a_refusal_that_will_not_change_stops_a_run_and_is_no_answer(
    server: Server, fault: Fault, tmp_path: Path
) -> None:
    server.faults.extend([fault] * 20)
    with pytest.raises(GivenUp, match=f"the last 3 requests failed .*status {fault.status}"):
        _run(server.url, tmp_path)
    assert RunDirectory(tmp_path / "run").outputs("latency") == {}
    server.faults.clear()
    assert _run(server.url, tmp_path).results().tasks[0].counts.ok == 8


def test_a_refusal_between_answers_is_a_failure_of_its_sample(server: Server, tmp_path: Path) -> None:
    server.faults.extend([Fault(200, b"")] * 2 + [Fault(401, b"no"), Fault(401, b"no")])  # two requests warm up
    outputs = _run(server.url, tmp_path).outputs("latency")
    assert [output.status for _, output in sorted(outputs.items())] == ["failed"] * 2 + ["ok"] * 6


def test_a_port_that_nothing_listens_on_stops_a_run_before_its_first_answer(tmp_path: Path) -> None:
    with pytest.raises(EndpointUnavailable, match="no complete answer"):
        _run("http://127.0.0.1:9/v1", tmp_path)


# ------------------------------------------------------------------------------------------ bounds and identity


def test_answers_beyond_their_bounds_are_not_read_to_the_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speech_eval.adapters.remote.endpoint._LONGEST_TEXT", 1000)
    server.faults.append(Fault(200, b'{"text": "' + b"a" * 100_000 + b'"}'))
    with pytest.raises(EndpointError, match="an answer of more than 1000 bytes"):
        build(server).transcribe([speech(160)])
    monkeypatch.setattr("speech_eval.adapters.remote.endpoint._LONGEST_LINE", 1000)
    event = {"Content-Type": "text/event-stream"}
    server.faults.append(Fault(200, b"data: " + b"a" * 500_000, event))
    with pytest.raises(EndpointError, match="a line of more than 1000 bytes"):
        list(build(server).reply_stream(chat()))


def test_a_refusal_of_any_length_is_one_line(server: Server) -> None:
    server.faults.append(Fault(400, b"x" * 5_000_000))
    with pytest.raises(EndpointError) as caught:
        build(server).transcribe([speech(160)])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("listed", "revision"),
    [
        (None, ""),
        ([{"id": "tiny"}], "tiny"),
        ([{"id": "tiny", "root": "org/tiny-v2"}, {"id": "other"}], "tiny=org/tiny-v2"),
        ([{"id": "other"}], ""),
    ],
)
def test_the_revision_is_what_the_server_says_the_model_is(
    server: Server, listed: list[dict[str, str]] | None, revision: str
) -> None:
    server.models = listed
    assert modelspec.resolve(f"openai:{server.url}#tiny").build().info().revision == revision


def test_another_model_behind_the_same_name_is_refused(server: Server, tmp_path: Path) -> None:
    server.models = [{"id": "tiny", "root": "v1"}]
    _run(server.url, tmp_path)
    server.models = [{"id": "tiny", "root": "v2"}]
    with pytest.raises(BadInput, match=r"have changed since this run began.*--regenerate"):
        _run(server.url, tmp_path)
