"""eSpeak NG, the formant synthesizer: about a hundred languages, no weights, many times faster than real time.

The C library keeps its state in static variables, and re-initializing does not clear all of it: the same sentence
comes out a few samples longer or shorter after another one. So every request gets a library of its own, loaded from
a temporary copy of the shared object (a few milliseconds). Output then depends only on the text and the voice, and
requests need no lock.
"""

from __future__ import annotations

import _ctypes
import ctypes
import ctypes.util
import queue
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from speech_eval.adapters.base import SpeechSynthesizer, SynthesisRequest
from speech_eval.adapters.options import whole
from speech_eval.audio import Audio, Samples, check_waveform
from speech_eval.cache import file_sha256
from speech_eval.errors import BadInput, MissingExtra, SpeechEvalError, require
from speech_eval.records import ModelInfo

# Values of speak_lib.h.
_AUDIO_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_PARAMETER_RATE = 1
_POSITION_CHARACTER = 1
_CHARS_UTF8 = 1
_PHONEMES_IPA = 2
_MARKS = ",.;:!?"
_SWITCH = re.compile(r"\([a-z-]+\)")  # where another language's rules begin: (en)

_BUFFER_MILLISECONDS = 50
# Language codes that eSpeak NG knows under another name.
_ALIASES = {"zh": "cmn", "zh-cn": "cmn", "no": "nb"}

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def _find_library() -> tuple[Path, Path | None]:
    """The shared object and its data folder (None: the folder it was built with).

    The packaged library comes first, because its version can be pinned; then the system's.
    """
    try:
        loader = require("espeakng_loader", "tts", "espeakng-loader")
        return Path(loader.get_library_path()), Path(loader.get_data_path())
    except MissingExtra:
        name = ctypes.util.find_library("espeak-ng")
        folders = [Path(folder) for folder in ("/lib", "/usr/lib", "/usr/local/lib", "/opt/homebrew/lib")]
        found = [path for folder in folders if name for path in (*folder.glob(name), *folder.glob(f"*/{name}"))]
        if not found:
            raise
        return found[0].resolve(), None


class _Library:
    """One private instance of libespeak-ng. Use as a context manager."""

    def __init__(self, path: Path, data: Path | None) -> None:
        with tempfile.TemporaryDirectory(prefix="espeak-ng-", ignore_cleanup_errors=True) as folder:
            copy = shutil.copy(path, folder)
            self._lib = ctypes.CDLL(str(copy))
        self._lib.espeak_Info.restype = ctypes.c_char_p
        self.rate = self._lib.espeak_Initialize(
            _AUDIO_SYNCHRONOUS, _BUFFER_MILLISECONDS, None if data is None else str(data).encode(), _DONT_EXIT
        )
        if self.rate <= 0:
            self._unload()
            raise SpeechEvalError(f"{path}: eSpeak NG found no voice data.", "Install espeakng-loader or espeak-ng.")

    def __enter__(self) -> _Library:
        return self

    def __exit__(self, *_: object) -> None:
        self._lib.espeak_Terminate()
        self._unload()

    def _unload(self) -> None:
        _ctypes.dlclose(self._lib._handle)

    @property
    def version(self) -> str:
        return str(self._lib.espeak_Info(None).decode())

    def set_voice(self, voice: str) -> None:
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise BadInput(f"eSpeak NG has no voice or language '{voice}'.", "Use a code such as en-us, de, fr, cmn.")

    def phonemes(self, text: str) -> str:
        """The text as the voice pronounces it: IPA with stress marks, each clause with the punctuation that ends it."""
        self._lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
        held = ctypes.create_string_buffer(text.encode())
        start = ctypes.addressof(held)
        rest, done, clauses = ctypes.c_void_p(start), 0, []
        while rest.value:
            said = self._lib.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, _PHONEMES_IPA).decode()
            here = len(held.value) if rest.value is None else rest.value - start
            read = held.value[done:here].decode()
            # The library has read the first letter of the next clause too.
            mark = (read if rest.value is None else read[:-1]).rstrip()[-1:]
            clauses.append(_SWITCH.sub("", said) + (mark if mark in _MARKS else ""))
            done = here
        return " ".join(clause for clause in clauses if clause)

    def speak(self, text: str, rate_wpm: int, emit: Callable[[Samples], bool]) -> None:
        """Call `emit` with each buffer of samples as it is made; a false answer ends the speech."""

        @_Callback
        def callback(samples: ctypes._Pointer[ctypes.c_short], frames: int, _events: int) -> int:
            if not samples or frames <= 0:
                return 0
            pcm = np.ctypeslib.as_array(samples, (frames,))
            return 0 if emit(pcm.astype(np.float32) / 32768.0) else 1

        self._lib.espeak_SetSynthCallback(callback)
        self._lib.espeak_SetParameter(_PARAMETER_RATE, rate_wpm, 0)
        data = text.encode() + b"\0"
        status = self._lib.espeak_Synth(
            data, ctypes.c_size_t(len(data)), 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None
        )
        if status != 0:
            raise SpeechEvalError(f"eSpeak NG failed with status {status}.", "Shorten the text.")


def phonemes(texts: Sequence[str], language: str = "en-us") -> list[str]:
    """Each text in IPA with stress marks and punctuation. Raises `BadInput` for a language without a voice."""
    with _Library(*_find_library()) as library:
        library.set_voice(_ALIASES.get(language.lower(), language))
        return [library.phonemes(text) for text in texts]


class EspeakNG(SpeechSynthesizer):
    """Speech at 22.05 kHz in the request's language, or in `voice` (a name such as `en-us` or `en+f3`).

    `rate_wpm`: words per minute, 80 to 450. The synthesizer is deterministic: seeds change nothing.
    """

    def __init__(self, voice: str | None = None, rate_wpm: int = 175) -> None:
        self.voice = voice
        self.rate_wpm = whole("rate_wpm", rate_wpm, 80, 450)
        self._path, self._data = _find_library()
        with _Library(self._path, self._data) as library:
            self._version = library.version
            if voice is not None:
                library.set_voice(voice)

    def info(self) -> ModelInfo:
        return ModelInfo(
            name="eSpeak NG",
            revision=self._version,
            weights_sha256=file_sha256(self._path),
            license="GPL-3.0-or-later",
            metadata={"voice": self.voice or "by language", "rate_wpm": self.rate_wpm},
        )

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        return [self._whole(request) for request in requests]

    def _whole(self, request: SynthesisRequest) -> Audio:
        pieces: list[Samples] = []

        def keep(samples: Samples) -> bool:
            pieces.append(samples)
            return True

        rate = self._speak(request, keep)
        return check_waveform(np.concatenate(pieces or [np.zeros(0, np.float32)]), rate, request.id)

    def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
        """Chunks of about 50 ms, each as soon as the library hands it over."""
        arrived: queue.SimpleQueue[Samples | int | BaseException] = queue.SimpleQueue()
        stop = threading.Event()

        def emit(samples: Samples) -> bool:
            arrived.put(samples)
            return not stop.is_set()

        def work() -> None:
            try:
                arrived.put(self._speak(request, emit, arrived.put))
            except BaseException as error:  # handed to the reader, who raises it
                arrived.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield from _chunks(arrived)
        finally:
            stop.set()
            thread.join()

    def _speak(
        self,
        request: SynthesisRequest,
        emit: Callable[[Samples], bool],
        started: Callable[[int], None] | None = None,
    ) -> int:
        """Speak one request through `emit`; the sample rate in Hz, told to `started` before the first samples."""
        if not request.text.strip() or "\0" in request.text:
            raise BadInput(f"{request.id}: there is no text to speak.", "Give the sample a text without NUL bytes.")
        language = request.language.lower().replace("_", "-")
        with _Library(self._path, self._data) as library:
            library.set_voice(self.voice or _ALIASES.get(language, language))
            if started is not None:
                started(library.rate)
            library.speak(request.text, self.rate_wpm, emit)
            return int(library.rate)


def _chunks(arrived: queue.SimpleQueue[Samples | int | BaseException]) -> Iterator[Audio]:
    """Read (rate, samples…, rate) from the queue: the first number opens the stream, the second ends it."""
    rate = arrived.get()
    while isinstance(rate, int):
        item = arrived.get()
        if isinstance(item, int):
            return
        if isinstance(item, BaseException):
            raise item
        yield Audio(item, rate)
    if isinstance(rate, BaseException):
        raise rate
