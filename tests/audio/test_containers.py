"""Every container that FFmpeg writes here comes back as the same sound, from a file of any name and from a stream."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speech_eval.audio import load, read, stream
from speech_eval.audio.waveform import Audio, Samples
from speech_eval.errors import BadAudio

av = pytest.importorskip("av")

RATE = 16_000
# Container of FFmpeg, codec, and the correlation with what was written that the codec keeps.
FORMATS = [
    ("mp4", "aac", 0.99),
    ("ipod", "aac", 0.99),
    ("mov", "pcm_s16le", 1.0),
    ("3gp", "aac", 0.99),
    ("webm", "libopus", 0.95),
    ("webm", "opus", 0.95),
    ("matroska", "flac", 1.0),
    ("matroska", "libmp3lame", 0.95),
    ("asf", "wmav1", 0.95),
    ("asf", "wmav2", 0.95),
    ("ogg", "libopus", 0.95),
    ("ogg", "flac", 1.0),
    ("mp3", "libmp3lame", 0.95),
    ("adts", "aac", 0.99),
    ("mpegts", "aac", 0.99),
    ("flv", "aac", 0.99),
    ("avi", "pcm_s16le", 1.0),
    ("flac", "flac", 1.0),
    ("aiff", "pcm_s16be", 1.0),
    ("au", "pcm_s16be", 1.0),
    ("caf", "pcm_s16le", 1.0),
    ("w64", "pcm_s16le", 1.0),
    ("tta", "tta", 1.0),
    ("wav", "pcm_s16le", 1.0),
    ("wav", "pcm_mulaw", 0.99),
    ("wav", "adpcm_ima_wav", 0.95),
    ("ac3", "ac3", 0.85),
    ("eac3", "eac3", 0.85),
]
DELAY = 2200  # samples at 16 kHz by which codecs that state no delay are late or early at most


def voice() -> NDArray[np.float32]:
    """Two seconds of a buzz that glides, no two periods alike."""
    time = np.arange(2 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 60 * time + 20 * np.sin(5 * time)) / RATE
    buzz = sum(np.sin(k * phase) / k for k in range(1, 12))
    return (0.2 * buzz * (0.6 + 0.4 * np.sin(7 * time))).astype(np.float32)


def written(container: str, codec: str, channels: Samples) -> bytes:
    """`channels` [channels, frames] in a file, at a rate that the codec takes."""
    buffer, layout = io.BytesIO(), "stereo" if len(channels) == 2 else "mono"
    try:
        encoder = av.Codec(codec, "w")
        rates = encoder.audio_rates
        rate = RATE if rates is None or RATE in rates else 48_000
        with av.open(buffer, "w", format=container) as out:
            track = out.add_stream(codec, rate=rate, layout=layout, options={"strict": "experimental"})
            track.bit_rate = 96_000
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = RATE, 0
            resampler = av.AudioResampler(format=encoder.audio_formats[0].name, layout=layout, rate=rate)
            for piece in chain(resampler.resample(frame), resampler.resample(None)):
                out.mux(track.encode(piece))
            out.mux(track.encode(None))
    except (av.FFmpegError, av.codec.codec.UnknownCodecError, NotImplementedError) as error:
        pytest.skip(f"FFmpeg does not write it here: {error}")
    return buffer.getvalue()


def pieces(data: bytes, size: int = 700) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def likeness(audio: Audio, sound: Samples) -> float:
    """The largest correlation with the middle of `sound` over the delays of codecs, early or late."""
    heard, middle = audio.resampled(RATE).samples, sound[DELAY:-DELAY]
    spans = np.lib.stride_tricks.sliding_window_view(heard, len(middle))[: 2 * DELAY : 4]
    return max(float(np.corrcoef(span, middle)[0, 1]) for span in spans)


@pytest.mark.parametrize(("container", "codec", "least"), FORMATS, ids=lambda value: str(value))
@pytest.mark.parametrize("balance", [(1.0,), (1.0, 0.25)], ids=["mono", "stereo"])
def test_a_container_is_read_by_its_content(
    container: str, codec: str, least: float, balance: tuple[float, ...], tmp_path: Path
) -> None:
    sound = voice()
    data = written(container, codec, np.stack([gain * sound for gain in balance]))
    (tmp_path / "named.raw").write_bytes(data)
    stated, whole = load(tmp_path / "named.raw"), read(data, "test")
    found = list(stream(pieces(data), "test"))
    streamed = Audio(np.concatenate([piece.samples for piece in found]), found[0].rate)
    np.testing.assert_array_equal(stated.samples, whole.samples)
    for audio in (whole, streamed):
        assert likeness(audio, sound) >= least - 1e-3
        assert audio.seconds == pytest.approx(2.0, abs=0.15)
        gain = np.sqrt(np.mean(audio.samples**2) / np.mean(sound**2))
        assert gain == pytest.approx(np.mean(balance), rel=0.08)  # the mean of the channels


@pytest.mark.parametrize(("container", "codec"), [("webm", "libopus"), ("flac", "flac"), ("mp3", "libmp3lame")])
def test_a_stream_is_decoded_before_it_has_ended(container: str, codec: str) -> None:
    data = written(container, codec, np.tile(voice(), 10)[None])
    taken = 0

    def watched() -> Iterator[bytes]:
        nonlocal taken
        for piece in pieces(data):
            taken += len(piece)
            yield piece

    next(stream(watched(), "test"))
    assert taken < len(data) / 4


@pytest.mark.parametrize(
    ("form", "subtype"), [("AIFF", None), ("AU", None), ("CAF", None), ("W64", None), ("FLAC", None)]
)
def test_a_file_cut_short_is_refused(form: str, subtype: str | None) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, voice(), RATE, format=form, subtype=subtype)
    with pytest.raises(BadAudio):
        read(buffer.getvalue()[: len(buffer.getvalue()) // 2], "test")


@pytest.mark.parametrize("rate", [11_025, 22_050])
def test_an_mp3_stream_that_states_no_length_is_whole(rate: int) -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}) as container:
        stream_ = container.add_stream("libmp3lame", rate=rate, layout="mono", options={"b": "16k"})
        sound = Audio(voice(), RATE).resampled(rate).samples
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream_.encode(frame), *stream_.encode(None)]:
            container.mux(packet)
    assert soundfile.info(io.BytesIO(buffer.getvalue())).frames != len(read(buffer.getvalue(), "test").samples)
    assert read(buffer.getvalue(), "test").seconds == pytest.approx(len(sound) / rate, abs=0.2)


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "aac"), ("webm", "libopus"), ("matroska", "flac"), ("tta", "tta")]
)
def test_a_container_cut_short_is_refused(container: str, codec: str) -> None:
    data = written(container, codec, voice()[None])
    with pytest.raises(BadAudio):
        read(data[: len(data) // 2], "test")


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 4000, bytes(range(256)) * 40, b"<html>not audio</html>" * 50],
    ids=["empty", "zeros", "raw", "html"],
)
@pytest.mark.parametrize("name", ["answer.raw", "answer.wav", "answer"])
def test_what_is_not_audio_is_refused_by_name(data: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadAudio, match=f"{name}: not a readable audio file"):
        load(tmp_path / name)


def test_an_empty_file_without_a_header_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "word.g722").touch()
    with pytest.raises(BadAudio, match=r"word\.g722: not a readable audio file: it is empty"):
        load(tmp_path / "word.g722")


def test_a_playlist_opens_nothing(tmp_path: Path) -> None:
    """FFmpeg's demuxers of playlists would read other files and addresses."""
    soundfile.write(tmp_path / "secret.wav", voice(), RATE)
    playlists = {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile '{tmp_path}/secret.wav'\n",
    }
    for name, text in playlists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(BadAudio, match="not a readable audio file"):
            load(tmp_path / name)


def test_a_picture_without_sound_is_refused() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        track = out.add_stream("mpeg4", rate=25)
        track.width, track.height, track.pix_fmt = 32, 32, "yuv420p"
        out.mux(track.encode(av.VideoFrame(32, 32, "yuv420p")))
        out.mux(track.encode(None))
    with pytest.raises(BadAudio, match="there is no audio in it"):
        read(buffer.getvalue(), "test")


@pytest.mark.parametrize("peak", [8.5, 100.0, 9800.0, 32768.0])
def test_integers_as_floats_are_refused_with_the_remedy(peak: float, tmp_path: Path) -> None:
    loud = voice() / np.abs(voice()).max() * peak
    soundfile.write(tmp_path / "loud.wav", loud, RATE, subtype="FLOAT")
    with pytest.raises(BadAudio, match=r"loud.wav: float samples lie in \[-1, 1\], and the peak is .* 32768"):
        load(tmp_path / "loud.wav")


def test_an_overshoot_is_taken(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hot.wav", voice() / np.abs(voice()).max() * 1.3, RATE, subtype="FLOAT")
    assert np.abs(load(tmp_path / "hot.wav").samples).max() == pytest.approx(1.3)
