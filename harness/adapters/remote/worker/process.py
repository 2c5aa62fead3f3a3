"""The process of a worker: started, asked over two pipes, watched and ended.

The harness writes one line of JSON per request and reads one or more per answer (docs/workers.md). Nothing else writes
to these pipes: what the process prints is drained, and its end is kept for messages. How long an answer may take and
what follows when the process ends is up to the run, as for any model.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from speech_eval.adapters.remote.worker.exchange import Exchange, WorkerError
from speech_eval.errors import BadInput, ModelDied
from speech_eval.safety.redaction import redact

logger = logging.getLogger(__name__)

PROTOCOL = 1
LONGEST_LINE = 1 << 26  # bytes; the codes of an hour fit
_LONGEST_MESSAGE = 2000  # characters
_LONGEST_TRACEBACK = 6000
_LONGEST_TAIL = 1 << 14  # bytes of what the process printed last
_CLOSE_SECONDS = 5.0  # that it has to end by itself
_POLL_MS = 200  # how soon an interruption from another thread is noticed
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX")  # of the harness' environment, not of its own


class WorkerDied(WorkerError, ModelDied):
    """The worker's process has ended, or no longer keeps to the protocol."""


class _Traceback(Exception):
    """Where the error was raised in the worker."""


class WorkerProcess:
    """A worker's process, in a session of its own, so that all that it starts ends with it.

    `name` names it in messages, which never repeat `secrets`; `path` is where it finds modules beside its environment.
    """

    def __init__(self, name: str, command: Sequence[str], path: Sequence[Path], secrets: Sequence[str] = ()) -> None:
        self._name, self._secrets, self._asked, self._idle = name, tuple(secrets), 0, True
        self._exchange = Exchange()
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        self._requests, self._answers = os.fdopen(ours_out, "wb"), os.fdopen(ours_in, "rb", buffering=0)
        self._ready, self._buffer, self._printed = select.poll(), bytearray(), bytearray()
        self._ready.register(ours_in, select.POLLIN)
        own = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
        own |= {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONUNBUFFERED": "1"}
        own |= {"SPEECH_EVAL_REQUESTS": str(theirs_in), "SPEECH_EVAL_ANSWERS": str(theirs_out)}
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs_in, theirs_out),
                env=own,
                start_new_session=True,
            )
        except OSError as error:
            raise BadInput(
                f"{name}: {command[0]} cannot be started ({error.strerror}).", "Make its environment anew."
            ) from error
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        told = (name, self._child.stdout, self._printed, self._secrets)
        self._drain = threading.Thread(target=_keep_the_end, args=told, name="worker output", daemon=True)
        self._drain.start()

    # ------------------------------------------------------------------------------------------------- requests

    def load(self, options: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """Have the model loaded, within `seconds`; what the worker tells about it.

        Raises `BadInput` with the reason and the last words of the process where that fails.
        """
        request = {"method": "load", "protocol": PROTOCOL, "folder": str(self._exchange.path), "options": dict(options)}
        try:
            told = next(self._answer(request, ("ready",), time.monotonic() + seconds))
            if told.get("protocol") != PROTOCOL:
                spoken = self._clean(told.get("protocol"))
                raise WorkerError(f"it speaks protocol {spoken}, not {PROTOCOL}: use this version's speech_eval_worker")
        except BaseException as error:
            self.kill()
            if isinstance(error, WorkerDied):
                raise BadInput(error.problem, "worker.py must end with serve(YourClass).") from error
            if isinstance(error, WorkerError):
                problem = f"{self._name}: the model could not be loaded ({error.problem})."
                raise BadInput(problem, f"Check the options. It printed: {self._tail()}") from error
            if isinstance(error, TimeoutError):
                problem = f"{self._name}: the model was not loaded within {seconds:g} s."
                raise BadInput(problem, f"Allow more: start_timeout=SECONDS. It printed: {self._tail()}") from error
            raise
        return told

    def call(self, method: str, *arguments: Any, seed: int = 0) -> Any:
        """The answer of a method. Raises `WorkerError` with the worker's message, `WorkerDied` where it has ended."""
        *_, (_, value) = self.events(method, *arguments, seed=seed)
        return value

    def events(self, method: str, *arguments: Any, seed: int = 0) -> Iterator[tuple[str, Any]]:
        """("chunk", piece) for each piece of a streamed answer as soon as it is there, then ("result", answer)."""
        if self._answers.closed:
            raise WorkerDied(f"{self._name} has ended before.", "Load the model again.")
        files: list[Path] = []
        try:
            packed = [self._exchange.packed(item, files) for item in arguments]
            request = {"method": method, "seed": seed, "arguments": packed}
            for message in self._answer(request, ("chunk", "result")):
                yield message["event"], self._exchange.unpacked(message.get("value"))
        finally:
            for file in files:
                file.unlink(missing_ok=True)

    def _answer(
        self, request: dict[str, Any], kinds: Sequence[str], deadline: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """The messages that answer a request, up to one of the last of `kinds`. Answers to earlier requests, which
        nobody waited for, are dropped."""
        self._asked, self._idle = self._asked + 1, False
        self._send({**request, "seq": self._asked})
        while not self._idle:
            message = self._message(deadline)
            event, number = message["event"], message["seq"]
            if number < self._asked:
                continue
            if number > self._asked or event not in (*kinds, "error"):
                raise self._violation(f"the event {self._clean(event)!r} of request {number}")
            self._idle = event in (kinds[-1], "error")
            if event == "error":
                origin = _Traceback(
                    redact(str(message.get("traceback"))[-_LONGEST_TAIL:], *self._secrets)[-_LONGEST_TRACEBACK:]
                )
                raise WorkerError(self._clean(message.get("error"))) from origin
            yield message

    # ------------------------------------------------------------------------------------------------- messages

    def _send(self, request: Mapping[str, Any]) -> None:
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._death() from error
        except BaseException:
            self.kill()  # half a line may be on its way
            raise

    def _message(self, deadline: float | None) -> dict[str, Any]:
        line = self._line(deadline)
        try:
            message = json.loads(line)
            if not (isinstance(message, dict) and type(message.get("seq")) is int and "event" in message):
                raise ValueError("no event with a number")
        except (ValueError, RecursionError) as error:
            raise self._violation(f"{self._clean(line[:_LONGEST_TAIL])[:200]} ({error})") from error
        return message

    def _line(self, deadline: float | None) -> bytes:
        """The next line. Never blocks for long at once, so that whoever limits the time of a request is heard."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > LONGEST_LINE:
                raise self._violation(f"a line of more than {LONGEST_LINE} bytes")
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError
            if self._ready.poll(_POLL_MS):
                data = os.read(self._answers.fileno(), 1 << 16)
                if not data:
                    raise self._death()
                self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    # ------------------------------------------------------------------------------------------------- its end

    def close(self) -> None:
        """End the process: by itself where it waits for a request, else at once."""
        if self._idle and not self._answers.closed:
            with contextlib.suppress(WorkerDied, subprocess.TimeoutExpired):
                self._send({"method": "close", "seq": self._asked})
                self._child.wait(_CLOSE_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the process, and those that it started, at once, and remove its folder."""
        if self._answers.closed:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self._drain.join(1.0)
        self._answers.close()
        with contextlib.suppress(OSError):
            self._requests.close()
        self._exchange.close()

    def _death(self) -> WorkerDied:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(1.0)
        status = self._child.poll()
        self.kill()
        if status is None:
            how = "closed the connection"
        elif status < 0:
            how = f"was killed by {signal.Signals(-status).name}"
        else:
            how = f"ended with exit status {status}"
        return WorkerDied(f"{self._name} {how}. It printed: {self._tail()}")

    def _violation(self, what: str) -> WorkerDied:
        self.kill()
        return WorkerDied(f"{self._name} broke the protocol: {self._clean(what)}.", "Use speech_eval_worker as it is.")

    def _tail(self) -> str:
        """What the process printed last."""
        return _words(self._printed.decode("utf-8", "replace"), self._secrets)[-_LONGEST_MESSAGE // 2 :] or "nothing."

    def _clean(self, text: object) -> str:
        return _clean(text, self._secrets)


def _clean(text: object, secrets: Sequence[str]) -> str:
    """A stranger's text as one line of printable characters, without credentials, cut where it is long."""
    return _words(str(text)[:_LONGEST_TAIL], secrets)[:_LONGEST_MESSAGE]


def _words(text: str, secrets: Sequence[str]) -> str:
    """`text` as one line without credentials. It is cut after this: a part of a credential is not known as one."""
    words = "".join(c if c.isprintable() else " " for c in text).split()
    return redact(" ".join(words), *secrets)


def _keep_the_end(name: str, printed: IO[bytes], kept: bytearray, secrets: Sequence[str]) -> None:
    """Read what a process prints as long as it does, keep the end, and show the lines where `-v` asks for them."""
    line, shown = bytearray(), logger.isEnabledFor(logging.INFO)
    with printed:
        while data := os.read(printed.fileno(), 1 << 16):
            kept += data
            del kept[:-_LONGEST_TAIL]
            if shown:
                *ends, start = re.split(rb"[\r\n]", data)
                for end in ends:
                    _show(name, line + end, secrets)
                    line.clear()
                line += start[: _LONGEST_TAIL - len(line)]  # a read may end within a line, and within a credential
    _show(name, line, secrets)


def _show(name: str, line: bytes | bytearray, secrets: Sequence[str]) -> None:
    if text := _clean(line.decode("utf-8", "replace"), secrets):
        logger.info("%s: %s", name, text)
