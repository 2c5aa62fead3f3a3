"""One reader for files, answers of servers and streams, by what the bytes hold and never by a name.

WAV is read here, so that headers with placeholder lengths and files that follow each other are taken; then libsndfile
(FLAC, Ogg, MP3, AIFF, other encodings of WAV), then FFmpeg through PyAV (MP4, WebM, WMA, AAC, AMR …). Channels are
averaged.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from speech_eval.audio.wav import PLACEHOLDER, OtherEncoding, WAVReader, is_wav
from speech_eval.audio.waveform import (
    LONGEST_VARIABLE,
    Audio,
    Samples,
    check_header,
    check_waveform,
    largest_bytes,
    mono,
)
from speech_eval.cache import file_sha256_once
from speech_eval.errors import BadAudio, MissingExtra, require

_PIECE = 1 << 20  # bytes
_MALFORMED = 3  # libsndfile's code for a damaged file of a format it knows
_STREAMED = 1 << 40  # frames that libsndfile gives where the header was written before the end was known
_MP3_SHARE, _MP3_FRAMES = 0.99, 2304  # of libsndfile's estimate of an MP3 stream's length, less two of its frames
_STATED = re.compile(r"^ *(?:data|SSND|BODY|Data Size|riff|Riff size) *: *(\d+) \(should be (\d+)\)", re.MULTILINE)
_CUT_SECONDS = 0.5  # of a stated duration; encoders' padding is shorter
# Only demuxers that read nothing but the bytes they are given: playlists name other files and addresses.
_DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,eac3,flac,flv,g722,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,"
    "mp3,mpeg,mpegts,ogg,oma,rm,tak,tta,w64,wav,wv"
)
_ESTIMATED = frozenset({"aac", "ac3", "eac3", "amr", "mp3", "mpeg", "mpegts"})  # whose duration is a guess by bit rate


def load(path: str | os.PathLike[str], rate: int | None = None) -> Audio:
    """Read an audio file as mono float32, resampled to `rate` if given; the mean of its channels.

    Raises `BadAudio` naming the file for what is not audio, ends before its header says, lasts longer than
    `longest_seconds`, or is larger than `largest_bytes`. The content decides how it is read, except for G.722, which
    has no header: `.g722`.
    """
    path = Path(path)
    if not path.is_file():
        raise BadAudio(f"{path}: no such audio file.", "Check the manifest, or fetch the data: speech-eval data fetch.")
    if not path.stat().st_size:
        raise BadAudio(f"{path}: not a readable audio file: it is empty.", "Copy or make it again.")
    check_size(path)
    with path.open("rb", buffering=0) as file:
        if path.suffix.lower() == ".g722":
            check_header(16_000, 1, 2 * path.stat().st_size, str(path))
            audio = _joined(decoded(file, str(path), "g722"), str(path))
        else:
            audio = read(file, str(path))
    return audio if rate is None else audio.resampled(rate)


def check_size(path: Path) -> None:
    """Raise `BadAudio` for a file that is larger than any audio: a hole in it costs nothing, and reading it does."""
    if (size := path.stat().st_size) > largest_bytes():
        raise BadAudio(
            f"{path}: {size >> 20} MiB, and audio files of at most {largest_bytes() >> 20} MiB are read.",
            f"Cut it into pieces, or set {LONGEST_VARIABLE}.",
        )


def audio_sha256(path: Path) -> str:
    """sha256 of an audio file in hex, read once for each state of the file. Raises `BadAudio` as `check_size`."""
    check_size(path)
    return file_sha256_once(path)


def read(source: bytes | io.FileIO, what: str) -> Audio:
    """The mono waveform in a whole audio file, given as bytes or opened without a buffer. Raises `BadAudio`, in which
    `what` names the source."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    head = file.read(12)
    file.seek(0)
    if is_wav(head):
        with contextlib.suppress(OtherEncoding):
            return _read_wav(file, what)
        file.seek(0)
    import soundfile

    try:
        # By its descriptor a file has no name, from which soundfile would conclude the format.
        with soundfile.SoundFile(file if isinstance(file, io.BytesIO) else file.fileno(), closefd=False) as opened:
            if opened.frames < _STREAMED:
                return _read_soundfile(opened, what)
        reason = "the header does not say how long the audio is"
    except soundfile.LibsndfileError as error:
        reason = error.error_string
        if error.code == _MALFORMED:
            raise BadAudio(f"{what}: a damaged audio file ({reason})", "Copy or make it again.") from error
    file.seek(0)
    try:
        return _joined(decoded(file, what), what)
    except MissingExtra as error:
        raise BadAudio(
            f"{what}: not a readable audio file ({reason}).", f"Convert it to WAV or FLAC. {error.remedy}"
        ) from error


def _read_wav(file: BinaryIO | io.FileIO, what: str) -> Audio:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    reader = WAVReader(what, size)
    pieces = [reader.feed(piece) for piece in iter(lambda: file.read(_PIECE), b"")]
    return check_waveform(np.concatenate([*pieces, reader.finish()]), reader.rate, what)


def _read_soundfile(file: Any, what: str) -> Audio:
    import soundfile

    rate, stated = file.samplerate, file.frames
    check_header(rate, file.channels, stated, what)
    try:
        samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BadAudio(f"{what}: not a readable audio file ({error}).", "Copy or make it again.") from error
    if len(samples) < _least(file) or _cut_short(file.extra_info):
        raise BadAudio(f"{what}: the file ends before its header says: it was cut short.", "Copy or make it again.")
    return check_waveform(mono(samples), rate, what)


def _least(file: Any) -> int:
    """Samples that a whole file has. An MP3 stream states no length: libsndfile estimates it from the size, and what is
    missing of an estimate does not show a cut."""
    stated = int(file.frames)
    return round(_MP3_SHARE * stated) - _MP3_FRAMES if file.format == "MP3" else stated


def _cut_short(log: str) -> bool:
    """Whether libsndfile met fewer bytes of samples than the header states, other than a placeholder."""
    found = _STATED.search(log)
    return found is not None and int(found[2]) < int(found[1]) < PLACEHOLDER


def _joined(pieces: Iterator[Audio], what: str) -> Audio:
    found = list(pieces)
    if not found:
        raise BadAudio(f"{what}: the audio has no samples.", "Leave the sample out or record it again.")
    return check_waveform(np.concatenate([piece.samples for piece in found]), found[0].rate, what)


def decoded(file: Any, what: str, demuxer: str | None = None) -> Iterator[Audio]:
    """The pieces of the first audio stream in `file`, which needs only `read`, decoded by FFmpeg as they arrive. Codecs
    that state no padding keep it, up to one frame at either end.

    `demuxer` is FFmpeg's name of a format without a header. Raises `BadAudio`, and `MissingExtra` without PyAV.
    """
    av = require("av", "codec")
    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": ""}
    if demuxer is not None:
        options["sample_rate"] = "16000"
    try:
        with av.open(file, format=demuxer, options=options, metadata_errors="replace") as container:
            if not container.streams.audio:
                raise BadAudio(f"{what}: there is no audio in it.", "Check how the file was made.")
            yield from _pieces(av, container, what)
    except av.FFmpegError as error:
        raise BadAudio(
            f"{what}: not a readable audio file ({error.strerror}).", "Convert it to WAV or FLAC."
        ) from error


def _pieces(av: Any, container: Any, what: str) -> Iterator[Audio]:
    stream = container.streams.audio[0]
    stated = 0.0 if container.duration is None else container.duration / av.time_base
    check_header(stream.rate, stream.channels, round(stated * stream.rate), what)
    resampler = av.AudioResampler(format="fltp")
    frames, rate = 0, 0
    for frame in chain(container.decode(stream), [None]):
        for piece in resampler.resample(frame):
            channels: Samples = piece.to_ndarray()
            frames, rate = frames + piece.samples, piece.sample_rate
            check_header(rate, len(channels), frames, what)
            yield Audio(mono(channels.T), rate)
    if frames < (stated - _CUT_SECONDS) * rate and not any(
        name in _ESTIMATED for name in container.format.name.split(",")
    ):
        raise BadAudio(f"{what}: the file ends before its header says: it was cut short.", "Copy or make it again.")
