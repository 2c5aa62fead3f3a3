"""Kokoro-82M v1.0 (int8 ONNX, 24 kHz): a style-conditioned synthesizer whose voices can be blended.

The weights carry the styles of five Japanese speakers, which speak English from English phonemes too. Phonemes come
from hibari's grapheme-to-phoneme rules, which share Kokoro's alphabet. The model draws no random numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from speech_eval.adapters.base import SpeechSynthesizer, SynthesisRequest
from speech_eval.adapters.options import number
from speech_eval.adapters.tts.hibari import SAMPLE_RATE, SPEEDS, engine, english_text, hibari_version, join
from speech_eval.assets import store as assets
from speech_eval.audio import Audio
from speech_eval.errors import BadInput, clipped, nearest, require
from speech_eval.records import ModelInfo

MAX_TOKENS = 510


class Kokoro(SpeechSynthesizer):
    """English speech at 24 kHz. `voice` names a style; `a+b` averages two or more into a speaker of their own.

    `speed` is a factor from 0.5 to 2. Seeds change nothing. `stream` yields sentence by sentence.
    """

    def __init__(self, voice: str = "jf_alpha", speed: float = 1.0, threads: int = 1) -> None:
        onnxruntime = require("onnxruntime", "tts")
        self.voice = voice
        self.speed = number("speed", speed, *SPEEDS)
        self._phonemizer = engine(threads=threads)
        folder = assets.ensure("kokoro")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._vocabulary: dict[str, int] = json.loads((folder / "vocab.json").read_text("utf-8"))["vocab"]
        with np.load(folder / "voices.npz", allow_pickle=False) as styles:
            self._style = blend({name: styles[name] for name in styles.files}, voice)

    def info(self) -> ModelInfo:
        asset = assets.ASSETS["kokoro"]
        return ModelInfo(
            name=f"Kokoro-82M int8 ({self.voice})",
            revision=f"v1.0, {asset.packages[0].package} {asset.packages[0].version}",
            weights_sha256=asset.files["model.onnx"],
            license=asset.license,
            metadata={
                "voice": self.voice,
                "speed": self.speed,
                "voices_sha256": asset.files["voices.npz"],
                "phonemes": f"hibari-tts {hibari_version()}",
            },
        )

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        return [join(self.stream(request), SAMPLE_RATE) for request in requests]

    def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
        for sentence in self._phonemizer.phonemize(english_text(request)):
            for tokens in pieces(
                [self._vocabulary[p] for p in sentence if p in self._vocabulary], self._vocabulary[" "]
            ):
                yield Audio(self._speak(tokens), SAMPLE_RATE)

    def _speak(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Samples of one sentence. The style to use depends on the number of phonemes: row n - 1 for n of them."""
        feeds = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": self._style[min(len(tokens), len(self._style)) - 1],
            "speed": np.array([self.speed], dtype=np.float32),
        }
        return np.asarray(self._session.run(None, feeds)[0], dtype=np.float32).reshape(-1)


def blend(styles: dict[str, NDArray[np.float32]], voice: str) -> NDArray[np.float32]:
    """The style table [510, 1, 256] of `voice`: one entry, or the mean of those named with `+` between them."""
    names = [name.strip() for name in str(voice).split("+")]
    for name in names:
        if name not in styles:
            raise BadInput(f"Kokoro has no voice '{clipped(name)}'.", f"{nearest(name, styles)} Blend several with +.")
    return np.asarray(np.mean([styles[name] for name in names], axis=0, dtype=np.float64), dtype=np.float32)


def pieces(tokens: Sequence[int], space: int, longest: int = MAX_TOKENS) -> Iterator[Sequence[int]]:
    """Cut a sentence of more than `longest` tokens, at its last space before that where it has one."""
    while len(tokens) > longest:
        spaces = [at for at in range(longest, 0, -1) if tokens[at] == space]
        cut = spaces[0] if spaces else longest
        yield tokens[:cut]
        tokens = tokens[cut:]
    if tokens:
        yield tokens
