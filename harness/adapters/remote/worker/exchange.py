"""Values of a worker's requests and answers as JSON, and the private folder through which their audio goes.

What a worker answers is taken as the words of a stranger: sound is read from regular files of the folder alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from speech_eval.adapters.base import Speech
from speech_eval.audio import Audio, read
from speech_eval.errors import SpeechEvalError

LONGEST_AUDIO = 1 << 30  # bytes of one file; an hour at 48 kHz has 0.7 GB


class WorkerError(SpeechEvalError):
    """The worker answered that it failed, or answered something else than it was asked for."""


class Exchange:
    """The folder of one worker's process, which is removed with it.

    In JSON an audio is `{"$audio": file}`: to the worker a path, from it the name of a file that it has written there.
    No path is given twice, since some systems remember what they read from one.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="speech-eval-worker-", ignore_cleanup_errors=True)
        self.path = Path(self._folder.name)
        self._given = 0

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()

    def packed(self, value: Any, files: list[Path]) -> Any:
        """`value` as JSON. The files that it now has in the folder are added to `files`."""
        if isinstance(value, Audio):
            self._given += 1
            file = self.path / f"request-{self._given}.wav"
            files.append(file)
            file.write_bytes(float_wav(value))
            return {"$audio": str(file), "rate": value.rate}
        if isinstance(value, Mapping):
            return {key: self.packed(item, files) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.packed(item, files) for item in value]
        return value.tolist() if isinstance(value, np.ndarray | np.generic) else value

    def unpacked(self, value: Any) -> Any:
        """The value that JSON of the worker stands for. Raises `WorkerError` and `BadAudio` for invalid audio."""
        if isinstance(value, list):
            return [self.unpacked(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$audio" not in value:
            return {key: self.unpacked(item) for key, item in value.items()}
        audio, metadata = self._audio(value["$audio"]), value.get("metadata")
        return Speech(audio.samples, audio.rate, metadata) if metadata and isinstance(metadata, dict) else audio

    def _audio(self, name: object) -> Audio:
        """The audio in a file that the worker has written to the folder, which is removed."""
        if name is None:
            return Audio(np.zeros(0, dtype=np.float32), 16_000)
        if not isinstance(name, str) or not re.fullmatch(r"\w{1,64}", name, re.ASCII):
            raise WorkerError("The worker's answer names a file that is not in its folder.")
        try:
            # Not blocking: opening a named pipe would wait for a writer.
            descriptor = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise WorkerError(f"The file of the worker's answer cannot be read ({error.strerror}).") from error
        with contextlib.suppress(OSError):
            (self.path / name).unlink()
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink or found.st_size > LONGEST_AUDIO:
            os.close(descriptor)
            raise WorkerError(
                f"The file of the worker's answer is a link, is special or has over {LONGEST_AUDIO} bytes."
            )
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            return read(file, "the worker's answer")


def float_wav(audio: Audio) -> bytes:
    """A WAV file of 32-bit floats, which holds every sample as it is."""
    data = np.ascontiguousarray(audio.samples, dtype="<f4").tobytes()
    sizes = (16, 3, 1, audio.rate, 4 * audio.rate, 4, 32)
    return struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVEfmt ", *sizes, b"data", len(data)) + data
