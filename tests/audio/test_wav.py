"""WAV as bytes that arrive piece by piece: samples, headers and their lengths."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from speech_eval.audio import LONGEST_VARIABLE, read, stream, wav_bytes
from speech_eval.audio.wav import PCMReader, WAVReader
from speech_eval.audio.waveform import Audio, Samples
from speech_eval.errors import BadAudio

RATE = 16_000
SPEECH = np.random.default_rng(0).uniform(-0.5, 0.5, 4000).astype(np.float32)
EXTRA = b"LIST" + struct.pack("<I", 5) + b"hello\0"


def wav(samples: Samples = SPEECH, size: int | None = None, subtype: str = "PCM_16", rate: int = RATE) -> bytes:
    """A WAV file whose header states `size` bytes of samples."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    data = bytearray(buffer.getvalue())
    if size is not None:
        at = data.index(b"data") + 4
        data[at : at + 4] = struct.pack("<I", size)
    return bytes(data)


def streamed(data: bytes, piece: int) -> Samples:
    pieces = (data[at : at + piece] for at in range(0, len(data), piece))
    return np.concatenate([audio.samples for audio in stream(pieces, "test")])


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_wav_is_read_the_same_however_it_is_cut(piece: int) -> None:
    np.testing.assert_allclose(streamed(wav_bytes(Audio(SPEECH, RATE)), piece), SPEECH, atol=1 / 32767)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "MS_ADPCM"])
def test_every_encoding_is_read_as_libsndfile_reads_it(subtype: str, channels: int) -> None:
    channels = min(channels, 2) if subtype == "MS_ADPCM" else channels  # the most that the format takes
    data = wav(np.stack([SPEECH * gain for gain in (1, 0.5, 0.25)[:channels]], axis=1), subtype=subtype)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    np.testing.assert_allclose(read(data, "test").samples, expected.mean(axis=1), atol=1e-7)
    np.testing.assert_allclose(streamed(data, 1000), expected.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("size", [0, 1_000_000_000, 2_000_000_000, 0x7FFFFFFF, 0xFFFFFFFF, 5 * 3600 * 32_000])
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("piece", [3, 1000, 100_000])
def test_files_with_placeholder_lengths_are_read_whole_one_after_another(size: int, count: int, piece: int) -> None:
    parts = np.split(SPEECH, count)
    data = b"".join(wav(part, size) for part in parts)
    np.testing.assert_allclose(read(data, "test").samples, SPEECH, atol=1 / 32767)
    np.testing.assert_allclose(streamed(data, piece), SPEECH, atol=1 / 32767)


@pytest.mark.parametrize("trailer", [b"", EXTRA, b"\0"], ids=["bare", "chunk", "padding"])
@pytest.mark.parametrize("piece", [3, 1000, 100_000])
def test_files_one_after_another_are_one_answer(trailer: bytes, piece: int) -> None:
    data = b"".join(wav(part) + trailer for part in np.split(SPEECH, 5))
    np.testing.assert_allclose(read(data, "test").samples, SPEECH, atol=1 / 32767)
    np.testing.assert_allclose(streamed(data, piece), SPEECH, atol=1 / 32767)


def test_files_of_different_rates_are_not_one_answer() -> None:
    with pytest.raises(BadAudio, match="different formats"):
        read(wav() + wav(rate=8000), "test")


def test_samples_after_the_stated_length_are_not_dropped_unseen() -> None:
    data = wav(SPEECH, 2000)
    for whole in (lambda: read(data, "test"), lambda: streamed(data, 500)):
        with pytest.raises(BadAudio, match="6000 bytes follow the samples"):
            whole()


def test_a_short_trailer_that_is_not_a_chunk_is_ignored() -> None:
    assert len(read(wav() + b"\xff" * 100, "test").samples) == len(SPEECH)


def test_a_file_cut_short_is_not_a_shorter_file() -> None:
    data = wav()[:-500]
    for whole in (lambda: read(data, "test"), lambda: streamed(data, 500), lambda: read(wav() + data, "test")):
        with pytest.raises(BadAudio, match="cut short"):
            whole()


def test_a_long_recording_is_not_taken_for_a_placeholder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LONGEST_VARIABLE, "0.1")
    with pytest.raises(BadAudio, match="longer than 0 s"):
        read(wav(), "test")
    with pytest.raises(BadAudio, match="longer than 0 s"):
        streamed(wav(), 100)


def test_a_header_without_samples_is_not_audio() -> None:
    with pytest.raises(BadAudio, match="not a WAV file"):
        WAVReader("test").feed(b"<html>hello</html>")
    with pytest.raises(BadAudio, match="no samples"):
        read(wav(SPEECH[:0]), "test")


def test_raw_samples_keep_a_split_one_for_the_next_piece() -> None:
    reader = PCMReader(RATE, "test")
    assert [len(reader.feed(piece)) for piece in (b"\1", b"\0\2", b"\0\3\0")] == [0, 1, 2]
    reader.finish()
