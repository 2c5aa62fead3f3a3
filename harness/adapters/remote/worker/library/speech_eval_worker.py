"""The model's side of `worker:DIR`: answers requests of speech-eval from within the model's own environment.

Standard library only, Python 3.8 or later. A worker is a class with the methods of an adapter that its model is capable
of, and a constructor that takes the options of the model spec. `serve(Mine)` ends its file; see docs/workers.md.
"""

import array
import json
import os
import queue
import shutil
import struct
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from types import GeneratorType, SimpleNamespace
from typing import Any

SEEDED = (("random", "seed"), ("numpy.random", "seed"), ("torch", "manual_seed"))  # where the model has imported them


class Audio:
    """Mono samples in [-1, 1] at `rate` Hz (list, array, tensor), or the `path` of a file; on arrival both."""

    def __init__(self, samples: Any = None, rate: Any = None, metadata: Any = None, path: Any = None) -> None:
        self._samples, self.metadata, self.path = samples, metadata or {}, path
        self.rate: Any = None if rate is None else int(rate)

    @property
    def samples(self) -> Any:
        return array.array("f", self.content()[44:]) if self._samples is None else self._samples

    def content(self) -> bytes:
        """The bytes of an audio file with the samples; none where there are no samples."""
        if self._samples is None:
            return Path(self.path).read_bytes()
        found = self._samples
        for step in ("detach", "cpu", "float", "numpy"):  # what turns a tensor into an array
            found = getattr(found, step)() if hasattr(found, step) else found
        if hasattr(found, "dtype") and (found.dtype.kind != "f" or found.size != max(found.shape, default=0)):
            raise ValueError(f"samples are {found.dtype} of shape {found.shape}, not floats of one channel")
        data = (found.astype("<f4") if hasattr(found, "dtype") else array.array("f", found)).tobytes()
        sizes = (16, 3, 1, self.rate, 4 * self.rate, 4, 32)
        head = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVEfmt ", *sizes, b"data", len(data))
        return head + data if data else b""


def serve(make: Any) -> None:
    """Build `make(**options)`, usually of a class, and answer requests until the harness closes the connection."""
    pipes = [int(os.environ[name]) for name in ("SPEECH_EVAL_REQUESTS", "SPEECH_EVAL_ANSWERS")]
    for pipe in pipes:
        os.set_inheritable(pipe, False)  # processes that the model starts do not hold the connection open
    lines, answers = os.fdopen(pipes[0], encoding="utf-8"), os.fdopen(pipes[1], "w", encoding="utf-8")
    request, requests, model = json.loads(lines.readline()), queue.Queue(), None  # type: ignore[var-annotated]
    options, folder = request["options"], request["folder"]
    tempfile.tempdir = folder  # what the model leaves there goes with the worker

    def listen() -> None:
        for line in lines:
            requests.put(json.loads(line, object_hook=_unpack))
        shutil.rmtree(folder, ignore_errors=True)  # the harness is gone: leave neither files nor processes
        os.killpg(0, 9)

    def say(event: str, **message: Any) -> None:
        answers.write(json.dumps({"event": event, "seq": request["seq"], **message}, default=_pack) + "\n")
        answers.flush()

    threading.Thread(target=listen, daemon=True).start()
    while request["method"] != "close":
        try:
            if model is None:
                model = make(**options)
                told = {name: getattr(model, name, None) for name in ("sample_rate", "chunk_seconds", "depths", "info")}
                say("ready", protocol=1, python=sys.version.split()[0], methods=dir(model), attributes=told)
            else:
                for module, function in SEEDED if request["method"] != "step" else ():
                    getattr(sys.modules.get(module), function, int)(request["seed"])
                found = getattr(model, request["method"])(*request["arguments"])
                for piece in found if isinstance(found, GeneratorType) else ():
                    say("chunk", value=piece)
                say("result", value=None if isinstance(found, GeneratorType) else found)
        except BaseException as error:
            say("error", error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
        request = requests.get()


def _pack(value: Any) -> Any:
    if not isinstance(value, Audio):
        return value() if callable(value) else value.tolist()  # the method info, an array or a tensor
    with tempfile.NamedTemporaryFile(delete=False) as file:
        stored = file.write(value.content())
    return {"$audio": Path(file.name).name if stored else None, "metadata": value.metadata}


def _unpack(found: dict) -> Any:
    if "$audio" in found:
        return Audio(rate=found["rate"], path=found["$audio"])
    return SimpleNamespace(**found["$request"]) if "$request" in found else found
