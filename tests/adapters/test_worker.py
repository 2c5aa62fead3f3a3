"""Workers that print, fail, exit, hang, forge files and break the protocol, each in a bare environment."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.worker_folders import bare_python, built, worker_folder

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import SynthesisRequest, TranscriptionRequest
from speech_eval.adapters.chat.cascade import CascadeError
from speech_eval.adapters.remote.worker import process
from speech_eval.adapters.remote.worker.exchange import WorkerError
from speech_eval.adapters.remote.worker.process import WorkerDied
from speech_eval.audio import Audio
from speech_eval.engine import session
from speech_eval.engine.generate.guest import GivenUp, Guest
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.settings import Settings
from speech_eval.engine.stored_plan import is_local
from speech_eval.errors import BadAudio, BadInput, SpeechEvalError
from speech_eval.safety.guest import TimedOut, limited
from speech_eval.testing.fakes import Oracle

WORKER = """
import os, signal, subprocess, sys, tempfile, time
print("noise before the protocol"); os.write(1, b"descriptor\\n"); sys.stderr.write("x" * 300_000 + "\\n")
from speech_eval_worker import Audio, serve
HERE = os.path.dirname(os.path.abspath(__file__))

def forge(name, make):
    make(os.path.join(tempfile.gettempdir(), name))
    return {"$audio": name}

class Worker:
    info = {"name": "toy", "license": "MIT"}
    def __init__(self, mode="ok", on="", token=""):
        self.mode, self.on, self.token = mode, on, token
        with open(os.path.join(HERE, "loads"), "a") as file:
            file.write("x")
        self.loads = os.path.getsize(os.path.join(HERE, "loads"))
        if mode == "bad-load": raise RuntimeError("no weights at http://u:pa55@h/x")
        if mode == "slow-load": time.sleep(60)

    def transcribe(self, request):
        print("asked", request.id); sys.stderr.write("y" * 300_000)
        if self.on and request.id != self.on: return "hello"
        if self.mode == "raise": raise ValueError("boom " + self.token + " at http://u:pa55@h/x")
        if self.mode == "sys.exit": sys.exit(3)
        if self.mode == "exit": print("last words"); os._exit(7)
        if self.mode == "killed": os.kill(os.getpid(), signal.SIGKILL)
        if self.mode == "hang" or self.mode == "hang-first" and self.loads == 1: time.sleep(60)
        if self.mode == "late" and request.id == "slow": time.sleep(1); return "late"
        if self.mode == "number": return 5
        if self.mode == "object": return object()
        if self.mode == "garbage": os.write(int(os.environ["SPEECH_EVAL_ANSWERS"]), b"no json\\n")
        if self.mode == "future": os.write(int(os.environ["SPEECH_EVAL_ANSWERS"]), b'{"seq": 99, "event": "result"}\\n')
        if self.mode == "closes": os.close(int(os.environ["SPEECH_EVAL_ANSWERS"])); time.sleep(60)
        if self.mode == "environment": return repr([sys.prefix != sys.base_prefix, sys.path[:2]])
        if self.mode == "child" and request.id == "again": time.sleep(60)
        if self.mode == "child": return str(subprocess.Popen(["sleep", "60"]).pid) + " " + str(os.getpid())
        return "hello"

    def synthesize(self, request):
        tone = [0.1] * 800
        if self.mode == "nan": return Audio(tone + [float("nan")], 16000)
        if self.mode == "loud": return Audio([12000.0] * 800, 16000)
        if self.mode == "rate": return Audio(tone, 7)
        if self.mode == "no rate": return Audio(tone, "fast")
        if self.mode == "text": return "a tone"
        if self.mode == "empty": return Audio([], 16000)
        if self.mode == "outside": return {"$audio": "../secret"}
        if self.mode == "absolute": return {"$audio": os.path.join(HERE, "secret.wav")}
        if self.mode == "missing": return {"$audio": "nothing"}
        if self.mode == "link": return forge("link", lambda path: os.symlink(os.path.join(HERE, "secret.wav"), path))
        if self.mode == "hard link": return forge("hard", lambda path: os.link(os.path.join(HERE, "secret.wav"), path))
        if self.mode == "pipe": return forge("pipe", os.mkfifo)
        if self.mode == "folder": return forge("folder", os.mkdir)
        if self.mode == "huge": return forge("huge", lambda path: open(path, "wb").truncate(1 << 31))
        if self.mode == "no audio": return forge("text", lambda path: open(path, "w").write("words"))
        if self.mode == "file": return Audio(path=os.path.join(HERE, "secret.wav"))
        return Audio(tone, 16000, metadata={"stopped": True})

serve(Worker)
"""
TONE = np.sin(np.arange(8000) / 9).astype(np.float32) / 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = worker_folder(tmp_path, WORKER, "SpeechRecognizer", "SpeechSynthesizer")
    for name in ("secret.wav", "a.wav"):
        soundfile.write(made / name, TONE, 16_000)
    return made


@pytest.fixture
def worker(folder: Path, request: pytest.FixtureRequest) -> Iterator[object]:
    """An adapter of the mode that the test is parametrized with."""
    adapter = built(folder, mode=request.param)
    yield adapter
    adapter.close()


def hear(worker: object, name: str = "a") -> str:
    text: str = worker.transcribe([TranscriptionRequest(name, lambda: Audio(TONE, 16_000))])[0]  # type: ignore[attr-defined]
    return text


def speak(worker: object) -> Audio:
    audio: Audio = worker.synthesize([SynthesisRequest("a", "words")])[0]  # type: ignore[attr-defined]
    return audio


def gone(pid: int) -> bool:
    """Whether a process ends within ten seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


# ------------------------------------------------------------------------------------- what goes right


@pytest.mark.parametrize("worker", ["environment"], indirect=True)
def test_a_worker_lives_in_its_own_environment(worker: object) -> None:
    own, path = ast.literal_eval(hear(worker))
    assert own and path[1].endswith("worker/library")


@pytest.mark.parametrize("worker", ["ok"], indirect=True)
def test_noise_on_both_streams_changes_nothing(worker: object) -> None:
    assert [hear(worker) for _ in range(5)] == ["hello"] * 5  # 300 kB each time would fill a pipe that nobody reads


def test_what_a_worker_prints_is_shown_on_request(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "speech_eval")
    worker = built(folder, token="s3cret")
    hear(worker, "s3cret")
    worker.close()
    assert f"worker:{folder}: noise before the protocol" in caplog.text
    assert "asked ***" in caplog.text and "s3cret" not in caplog.text


def test_a_credential_printed_in_pieces_is_hidden(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "speech_eval")
    ours, theirs = os.pipe()
    drain = threading.Thread(
        target=process._keep_the_end, args=("toy", os.fdopen(ours, "rb"), bytearray(), ("s3cret",))
    )
    drain.start()
    for piece in (b"asked", b" s3c", b"ret\n40 %\r", b"x" * 99_999, b"\nlast s3", b"cret"):
        os.write(theirs, piece)
        time.sleep(0.05)  # each piece is a read of its own
    os.close(theirs)
    drain.join(10)
    shown = [record.getMessage() for record in caplog.records]
    assert shown == ["toy: asked ***", "toy: 40 %", f"toy: {'x' * 2000}", "toy: last ***"]


def test_a_run_may_not_name_a_worker_as_its_recognizer() -> None:
    assert not is_local("worker:somewhere") and not is_local("moshi (worker)") and not is_local("worker")


@pytest.mark.parametrize("worker", ["ok"], indirect=True)
def test_information_reaches_the_manifest(worker: object) -> None:
    info = worker.info()  # type: ignore[attr-defined]
    assert (info.name, info.license) == ("toy", "MIT") and info.metadata["worker"]["python"]


@pytest.mark.parametrize("worker", ["ok"], indirect=True)
def test_metadata_comes_with_the_speech(worker: object) -> None:
    spoken = speak(worker)
    assert (spoken.rate, len(spoken.samples), spoken.metadata) == (16_000, 800, {"stopped": True})  # type: ignore[attr-defined]


@pytest.mark.parametrize("worker", ["file"], indirect=True)
def test_a_file_of_the_worker_is_read_as_it_is(worker: object) -> None:
    np.testing.assert_allclose(speak(worker).samples, TONE, atol=1e-4)


@pytest.mark.parametrize("worker", ["empty"], indirect=True)
def test_no_samples_are_an_empty_answer(worker: object) -> None:
    assert len(speak(worker).samples) == 0


# ------------------------------------------------------------------------------------- errors and deaths


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        ("raise", "ValueError: boom"),
        ("sys.exit", "SystemExit: 3"),
        ("number", "answered int, not a text"),
        ("object", "TypeError|AttributeError"),
    ],
    indirect=["worker"],
)
def test_an_error_is_told_and_the_worker_goes_on(worker: object, message: str) -> None:
    for _ in range(2):
        with pytest.raises(WorkerError, match=message) as caught:
            hear(worker)
        assert not isinstance(caught.value, WorkerDied)


def test_an_error_repeats_no_credential_and_shows_where(folder: Path) -> None:
    worker = built(folder, mode="raise", token="s3cret")
    with pytest.raises(WorkerError) as caught:
        hear(worker)
    worker.close()
    shown = f"{caught.value} {caught.value.__cause__}"
    assert "in transcribe" in shown and "pa55" not in shown and "s3cret" not in shown


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        ("exit", "ended with exit status 7. It printed: .*last words"),
        ("killed", "was killed by SIGKILL"),
        ("closes", "closed the connection"),
        ("garbage", "broke the protocol: b'no json'"),
        ("future", "broke the protocol: the event 'result' of request 99"),
    ],
    indirect=["worker"],
)
def test_a_worker_that_is_lost_says_how(worker: object, message: str) -> None:
    with pytest.raises(WorkerDied, match=message):
        hear(worker)
    with pytest.raises(WorkerDied, match="has ended before"):
        hear(worker)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "bad-load"}, "could not be loaded .RuntimeError: no weights at http://h/x"),
        ({"mode": "slow-load", "start_timeout": 0.5}, "was not loaded within 0.5 s"),
        ({"volume": 3}, "could not be loaded .TypeError: .*volume"),
        ({"python": "/bin/false"}, "ended with exit status 1"),
        ({"python": "/no/python"}, "its environment is missing, there is no /no/python"),
    ],
)
def test_a_worker_that_does_not_start_says_why(folder: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        built(folder, **options)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('Forgot serve.')", "ended with exit status 0. It printed: Forgot serve."),
        ("import no_such_module", "ended with exit status 1. .*No module named 'no_such_module'"),
        (
            "import os, time; os.write(int(os.environ['SPEECH_EVAL_ANSWERS']), "
            """b'{"seq": 1, "event": "ready", "protocol": 2}\\n'); time.sleep(60)""",
            "it speaks protocol 2, not 1",
        ),
    ],
)
def test_a_script_that_is_no_worker_says_why(folder: Path, code: str, message: str) -> None:
    (folder / "worker.py").write_text(code)
    with pytest.raises(BadInput, match=message):
        built(folder)


def test_all_that_a_worker_started_ends_with_it_and_its_folder_is_removed(folder: Path) -> None:
    worker = built(folder, mode="child")
    private = worker._process._exchange.path
    child, own = map(int, hear(worker).split())
    assert private.is_dir()
    worker.close()
    assert gone(own) and gone(child) and not private.exists()


def test_a_worker_ends_when_the_harness_is_killed(folder: Path, tmp_path: Path) -> None:
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from support.worker_folders import built
from speech_eval.adapters.base import TranscriptionRequest
from speech_eval.audio import Audio
import numpy as np
worker = built(Path({str(folder)!r}), mode="child", python={bare_python()!r})
ask = lambda name: worker.transcribe([TranscriptionRequest(name, lambda: Audio(np.zeros(80, np.float32), 16000))])[0]
print(ask("first"), worker._process._exchange.path, flush=True)
ask("again")
"""
    harness = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert harness.stdout is not None
    child, own, private = harness.stdout.readline().split()
    time.sleep(0.3)  # the worker is in the middle of a request that never ends
    harness.send_signal(signal.SIGKILL)
    harness.wait()
    harness.stdout.close()
    assert gone(int(own)) and gone(int(child))
    assert not Path(private).exists()


# ------------------------------------------------------------------------------------- forged answers


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        ("nan", "NaN or infinity"),
        ("loud", "the peak is 12000"),
        ("rate", "a sample rate of 7 Hz"),
        ("no rate", "invalid literal"),
        ("text", "answered str, not an Audio"),
        ("outside", "not in its folder"),
        ("absolute", "not in its folder"),
        ("missing", "cannot be read"),
        ("link", "cannot be read"),
        ("hard link", "is a link, is special"),
        ("pipe", "is a link, is special"),
        ("folder", "is a link, is special"),
        ("huge", "has over 1073741824 bytes"),
        ("no audio", "not a readable audio file"),
    ],
    indirect=["worker"],
)
def test_sound_that_is_none_is_refused_by_name(worker: object, message: str) -> None:
    with pytest.raises((WorkerError, BadAudio), match=message):
        speak(worker)
    assert hear(worker) == "hello"


# ------------------------------------------------------------------------------------- time


def test_a_late_answer_is_dropped(folder: Path) -> None:
    worker = built(folder, mode="late")
    with pytest.raises(TimedOut), limited(0.3, "the test", lambda message: None):
        hear(worker, "slow")
    assert hear(worker, "quick") == "hello"
    worker.close()


def test_a_thread_that_waits_for_a_worker_is_interrupted(folder: Path) -> None:
    """Under load requests are made from several threads, which no signal reaches."""
    worker, found = built(folder, mode="hang"), []

    def ask() -> None:
        try:
            with limited(0.3, "the test", lambda message: None):
                hear(worker)
        except TimedOut as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(10)
    worker.close()
    assert len(found) == 1


def test_a_part_of_a_model_that_died_loads_the_model_anew() -> None:
    """A cascade tells a part's death as its own failure."""
    made: list[Oracle] = []
    guest = Guest(Oracle(), rebuild=lambda: made.append(Oracle()) or made[-1])  # type: ignore[func-returns-value]
    try:
        raise CascadeError("The ASR of the cascade failed") from WorkerDied("worker:x ended with exit status 7.")
    except CascadeError as error:
        assert guest.after(error) and guest.adapter is made[0]
    assert not guest.after("an answer") and not guest.after(CascadeError("of another kind"))


def run(folder: Path, options: str, **settings: object) -> RunDirectory:
    lines = [json.dumps({"id": f"s{number}", "text": "hello", "audio": "a.wav"}) for number in range(6)]
    (folder / "set.jsonl").write_text("\n".join(lines) + "\n")
    chosen = Settings(data=str(folder / "set.jsonl"), workers=1, **settings)  # type: ignore[arg-type]
    spec = f"worker:{folder},python={bare_python()},{options}"
    session.run(modelspec.parse(spec), ["asr"], folder / "run", chosen)
    return RunDirectory(folder / "run")


def statuses(directory: RunDirectory) -> list[str]:
    return [output.status for output in directory.outputs("asr").values()]


def loads(folder: Path) -> int:
    return (folder / "loads").stat().st_size


def test_a_hang_fails_its_sample_and_the_worker_starts_once_more(folder: Path) -> None:
    directory = run(folder, "mode=hang-first", timeout=2.0)
    assert statuses(directory) == ["failed", *["ok"] * 5] and loads(folder) == 2


@pytest.mark.parametrize("mode", ["exit", "garbage"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_death_fails_its_sample_alone_and_the_worker_starts_anew(folder: Path, mode: str, batch: int) -> None:
    directory = run(folder, f"mode={mode},on=s4", batch_size=batch)
    assert statuses(directory) == ["ok", "ok", "ok", "ok", "failed", "ok"]
    assert loads(folder) == (2 if batch == 1 else 3)  # the batch, then the sample by itself


@pytest.mark.parametrize(
    ("mode", "message", "timeout"), [("exit", "ended it", 30.0), ("hang", "were out of time", 0.5)]
)
def test_three_losses_in_a_row_stop_the_run(folder: Path, mode: str, message: str, timeout: float) -> None:
    with pytest.raises(GivenUp, match=f"3 answers in a row {message}"):
        run(folder, f"mode={mode}", timeout=timeout)
    assert statuses(RunDirectory(folder / "run")) == ["failed"] * 3 and loads(folder) == 3


def test_a_changed_worker_is_refused_for_a_run_that_goes_on(folder: Path) -> None:
    held = run(folder, "mode=ok").manifest().model.code
    assert set(held) == {"worker.py", "worker.toml"}
    (folder / "worker.py").write_text(WORKER.replace('"hello"', '"goodbye"'))
    code = "from speech_eval.cli.main import main; main()"  # another process: this one holds the digests it has read
    words = ["run", "-m", f"worker:{folder},python={bare_python()},mode=ok", "-t", "asr"]
    words += ["--data", str(folder / "set.jsonl"), "-o", str(folder / "run")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 2 and "has changed since this run began: worker.py" in " ".join(done.stderr.split())


# ------------------------------------------------------------------------------------- the folder


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("interfaces = [", "not valid TOML"),
        ("", "'interfaces' names none"),
        ('interfaces = ["Speaker"]', "'interfaces' names none or an unknown one"),
        ('interfaces = ["AudioCodec"]', "the worker has no method encode and decode"),
        ('interfaces = "AudioCodec"', "'interfaces' is not a list of texts"),
        ('interfaces = ["AudioCodec"]\nlicence = "MIT"', "unknown key 'licence'"),
        ('interfaces = ["AudioCodec"]\nlicense = 3', "'license' is not a text"),
    ],
)
def test_a_description_that_is_not_valid_is_refused_by_its_cause(folder: Path, description: str, message: str) -> None:
    (folder / "worker.toml").write_text(description)
    with pytest.raises(BadInput, match=message):
        built(folder)


def test_a_missing_environment_is_answered_with_the_commands_that_make_it(folder: Path) -> None:
    commands = ["python3.10 -m venv .venv", ".venv/bin/pip install the-model==1.0"]
    (folder / "worker.toml").write_text(f'interfaces = ["SpeechRecognizer"]\nenvironment = {json.dumps(commands)}\n')
    with pytest.raises(SpeechEvalError) as caught:
        modelspec.resolve(f"worker:{folder}")
    assert f"cd {folder} && {commands[0]} && {commands[1]}" in str(caught.value)


def test_a_folder_without_a_worker_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no folder with worker\.toml and worker\.py is there"):
        modelspec.resolve(f"worker:{tmp_path}")


def test_no_part_of_a_credential_is_left_where_a_long_text_is_cut() -> None:
    secret = "abcdefghijklmnopqrstuvwxyz"
    for at in range(1975, 2001):
        assert "abc" not in process._clean("-" * at + secret + "-" * 100, [secret])
        assert "xyz" not in process._words("-" * 100 + secret + "-" * (at - 1000), [secret])[-1000:]
