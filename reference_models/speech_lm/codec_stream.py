"""A codec as a speaking model uses it: checked once, then codes to audio, whole or while codes still arrive.

codes    ──── context ────┼── chunk ──┼ lookahead      decoded as one window
audio                     │╳──────────│                kept: the chunk, cross-faded with the window before it
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import AudioCodec, Codes, StreamsCodes, StreamsSpeech
from speech_eval.audio import Audio, Samples
from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.layouts import Ints, ratios_of, whole_steps

FADE_SECONDS = 0.01


class SpeechCodec:
    """A codec; raises `BadInput` if `codebook_sizes` or `frame_rates` are given and the codec has others.

    A stream is decoded by the codec itself if it is `causal` and takes codes part by part (`stream_parts`), otherwise
    in windows of `context` seconds before and `lookahead` seconds after each chunk of `chunk` seconds.
    """

    def __init__(
        self,
        codec: AudioCodec,
        codebook_sizes: Sequence[int] | None = None,
        frame_rates: Sequence[float] | None = None,
        *,
        chunk: float = 0.32,
        context: float = 1.0,
        lookahead: float = 0.1,
    ) -> None:
        self.codec = codec
        self._like = probe(codec)
        self.codebook_sizes = [int(size) for size in self._like.codebook_sizes]
        self.frame_rates = [float(rate) for rate in self._like.frame_rates]
        for name, found, wanted in (
            ("codebooks of", self.codebook_sizes, codebook_sizes),
            ("frames per second:", self.frame_rates, frame_rates),
        ):
            if wanted is not None and [round(value, 4) for value in wanted] != [round(value, 4) for value in found]:
                raise BadInput(
                    f"The codec has {name} {found}, the model was trained on {list(wanted)}.",
                    "Name the codec the model was trained with: codec=SPEC.",
                )
        self.ratios = ratios_of(self.frame_rates)
        self.step_rate = min(self.frame_rates)
        self._samples = codec.sample_rate / self.step_rate
        self.chunk = max(1, round(chunk * self.step_rate))
        self._context, self._lookahead = (math.ceil(seconds * self.step_rate) for seconds in (context, lookahead))

    @property
    def sample_rate(self) -> int:
        return self.codec.sample_rate

    def encode(self, audio: Audio) -> list[Ints]:
        """Codes of a recording, in whole steps of the slowest codebook."""
        codes = self.codec.encode([audio.resampled(self.sample_rate)])[0]
        return whole_steps([np.asarray(book) for book in codes.codebooks], self.ratios)

    def decode(self, books: Sequence[Ints]) -> Audio:
        """Codes as audio; empty audio for no codes."""
        if not len(books[0]):
            return Audio(np.zeros(0, dtype=np.float32), self.sample_rate)
        return self.codec.decode([self.as_codes(books)])[0]

    def stream(self, parts: Iterable[Sequence[Ints]]) -> Iterator[Audio]:
        """The audio of codes that arrive in parts of whole steps, each chunk as soon as it is ready."""
        filled = (part for part in parts if len(part[0]))
        if isinstance(self.codec, StreamsCodes) and self.codec.causal:
            chunks = self.codec.stream_parts(self.as_codes(part) for part in filled)
            yield from (chunk for chunk in chunks if len(chunk.samples))
        else:
            yield from self._windows(filled)

    def _windows(self, parts: Iterable[Sequence[Ints]]) -> Iterator[Audio]:
        books: list[Ints] = [np.zeros(0, dtype=np.int64) for _ in self.ratios]
        done, tail = 0, np.zeros(0, dtype=np.float32)
        for part in parts:
            books = [np.concatenate(pair) for pair in zip(books, part, strict=True)]
            while len(books[0]) >= done + self.chunk + self._lookahead:
                seen = done + self.chunk + self._lookahead
                chunk, tail = self._window(books, done, done + self.chunk, seen, tail)
                done += self.chunk
                yield Audio(chunk, self.sample_rate)
        if (steps := len(books[0])) > done:
            yield Audio(self._window(books, done, steps, steps, tail)[0], self.sample_rate)

    def _window(
        self, books: Sequence[Ints], start: int, stop: int, seen: int, tail: Samples
    ) -> tuple[Samples, Samples]:
        """Samples of the steps [start, stop), and the window's continuation, which the next one fades over."""
        first = max(0, start - self._context)
        cut = [book[first * ratio : seen * ratio] for book, ratio in zip(books, self.ratios, strict=True)]
        wave = self.decode(cut).samples
        left = round((start - first) * self._samples)
        right = left + round(stop * self._samples) - round(start * self._samples) if stop < seen else len(wave)
        chunk = wave[left:right].copy()
        over = min(len(tail), len(chunk))
        fade = (np.arange(over, dtype=np.float32) + 1.0) / (over + 1.0)
        chunk[:over] = fade * chunk[:over] + (1.0 - fade) * tail[:over]
        return chunk, wave[right : right + round(FADE_SECONDS * self.sample_rate)]

    def as_codes(self, books: Sequence[Ints]) -> Codes:
        """Codebooks [steps × ratio] as the codec takes them."""
        metadata = dict(self._like.metadata)
        if "frames" in metadata:
            metadata["frames"] = round(len(books[0]) * self._samples)
        return Codes(list(books), self._like.frame_rates, self._like.codebook_sizes, metadata)


class TwoWayStream:
    """A causal codec frame by frame, in both directions of a conversation. Its sound is late by the decoder's delay."""

    def __init__(self, codec: SpeechCodec) -> None:
        model = codec.codec
        if not (isinstance(model, StreamsCodes) and isinstance(model, StreamsSpeech) and model.causal):
            raise BadInput("This codec does not stream in both directions.", "Use a causal codec of this project.")
        if set(codec.ratios) != {1}:
            raise BadInput(f"Codebooks at {codec.frame_rates} Hz.", "Use a codec whose codebooks have one frame rate.")
        self._codec, self._rate = codec, codec.sample_rate
        self.hop = round(codec.sample_rate / codec.step_rate)
        self._sound: Audio
        self._frame: Codes
        self._heard = model.encode_parts(self._sounds())
        self._said = model.stream_parts(self._frames())

    def hear(self, samples: Samples) -> Ints:
        """Codes [K] of the next `hop` samples."""
        self._sound = Audio(samples, self._rate)
        return np.array([book[0] for book in next(self._heard).codebooks])

    def say(self, codes: Ints) -> Samples:
        """The next `hop` samples, from the next codes [K]."""
        self._frame = self._codec.as_codes([book[None] for book in codes])
        wave = next(self._said).samples
        return np.pad(wave, (self.hop - len(wave), 0))

    def _sounds(self) -> Iterator[Audio]:
        while True:
            yield self._sound

    def _frames(self) -> Iterator[Codes]:
        while True:
            yield self._frame


def probe(codec: AudioCodec) -> Codes:
    """Codes of a second of a quiet tone: the shape of the codec's codes."""
    tone = 0.1 * np.sin(2 * np.pi * 220.0 * np.arange(codec.sample_rate) / codec.sample_rate)
    return codec.encode([Audio(tone.astype(np.float32), codec.sample_rate)])[0]


def load_codec(spec: str) -> AudioCodec:
    """The codec of a model spec. Raises `BadInput` for another kind of model."""
    codec = modelspec.resolve(spec).build()
    if not isinstance(codec, AudioCodec):
        raise BadInput(f"{spec} is not a codec.", "Give a codec, such as the directory of a trained one.")
    return codec
