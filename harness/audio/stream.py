"""Audio that arrives as bytes piece by piece, such as the answer of a server."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator

from speech_eval.audio.read import decoded, read
from speech_eval.audio.wav import OtherEncoding, PCMReader, WAVReader, is_wav
from speech_eval.audio.waveform import Audio

# How formats begin that no raw samples are taken for; MP3 without tags begins like loud samples.
_MAGIC = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"FORM", b"caff", b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75")


def stream(pieces: Iterable[bytes], what: str, pcm_rate: int | None = None) -> Iterator[Audio]:
    """The waveform in `pieces`, each part as soon as it can be decoded: WAV files one after another, any other format
    that `read` takes, and with `pcm_rate` also headerless 16-bit samples at that rate.

    MP4, CAF, WAV that is not linear PCM, and without PyAV every format but WAV are decoded
    once they are complete. Raises `BadAudio`, in which `what` names the source.
    """
    source = _Source(pieces)
    head = source.peek(12)
    if is_wav(head) or (pcm_rate is not None and not (head.startswith(_MAGIC) or head[4:8] == b"ftyp")):
        reader = WAVReader(what) if is_wav(head) else PCMReader(pcm_rate or 0, what)
        fed = b""  # before the encoding is known
        for data in source:
            fed = b"" if reader.rate else fed + data
            try:
                samples = reader.feed(data)
            except OtherEncoding:
                yield read(fed + b"".join(source), what)
                return
            if len(samples):
                yield Audio(samples, reader.rate)
        if len(samples := reader.finish()):
            yield Audio(samples, reader.rate)
    elif head[4:8] == b"ftyp" or head[:4] == b"caff" or importlib.util.find_spec("av") is None:
        yield read(b"".join(source), what)
    else:
        yield from decoded(source, what)


class _Source:
    """An iterator of bytes as a file that is read forwards."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._waiting = b""

    def peek(self, size: int) -> bytes:
        """The first `size` bytes, fewer at the end, without taking them."""
        while len(self._waiting) < size and (piece := next(self._pieces, None)) is not None:
            self._waiting += piece
        return self._waiting[:size]

    def read(self, size: int) -> bytes:
        """At least one and at most `size` bytes, as soon as they are there; none at the end."""
        data = self.peek(1) and self._waiting[:size]
        self._waiting = self._waiting[len(data) :]
        return data

    def __iter__(self) -> Iterator[bytes]:
        waiting, self._waiting = self._waiting, b""
        if waiting:
            yield waiting
        yield from self._pieces
