"""Guards of an alignment: what other models than the reward's measure on held-out texts, under fixed seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speech_eval.audio import Audio
from speech_eval.engine.generate.strategy import sample_seed
from speech_eval.metrics.codec.pitch import f0
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec
from speech_eval.reference_models.speech_lm.interface import SpeakingModel, Utterance
from speech_eval.reference_models.speech_lm.rl.rewards import character_error_rate
from speech_eval.reference_models.speech_lm.rl.rollout import Line
from speech_eval.reference_models.speech_lm.rl.verifiers import Verifier
from speech_eval.reference_models.speech_lm.sampling import Sampling, generate
from speech_eval.signal.level import audible


class Guards:
    """Measures `cer` (1 if nothing was recognized), `sim` (0 then), `pitch_semitones` (the spread of F0 within a line),
    `seconds`, `stopped` and `repeats` of fixed lines."""

    def __init__(
        self, verifier: Verifier, codec: SpeechCodec, lines: Sequence[Line], sampling: Sampling, seed: int
    ) -> None:
        self.verifier, self.codec, self.lines, self.sampling, self.seed = verifier, codec, lines, sampling, seed

    def measure(self, model: SpeakingModel) -> dict[str, float]:
        """The means over the lines."""
        asked = [
            Utterance(
                line.id,
                line.text,
                sample_seed(self.seed, "guard", line.id),
                line.prompt_text,
                line.prompt_codes,
                line.language,
                line.speaker,
            )
            for line in self.lines
        ]
        generations = generate(model, asked, self.sampling)
        audios = [self.codec.decode(item.codes) for item in generations]
        errors, voices = [], []
        for line, audio in zip(self.lines, audios, strict=True):
            if self.verifier.config.speaker is not None and line.prompt is not None:
                voices.append(self.verifier.similarity(audio, line.prompt).value)
            if self.verifier.config.recognizer is not None:
                cer = character_error_rate(line.text, self.verifier.transcript(audio, line.language), line.language)
                errors.append(1.0 if cer is None else cer)
        spreads = [spread for spread in map(pitch_spread, audios) if spread is not None]
        return {
            **({"cer": mean(errors)} if errors else {}),
            **({"sim": mean(voices)} if voices else {}),
            **({"pitch_semitones": mean(spreads)} if spreads else {}),
            "voiced": float(len(spreads)),
            "seconds": mean([audio.seconds for audio in audios]),
            "stopped": mean([item.stopped for item in generations]),
            "repeats": mean([item.repeats for item in generations]),
        }


def pitch_spread(audio: Audio) -> float | None:
    """Standard deviation of F0 in semitones; None for less than 10 voiced frames of 10 ms."""
    if len(audio.samples) == 0 or not audible(audio):
        return None
    found = f0(audio.resampled(16_000).samples)
    voiced = found[np.isfinite(found)]
    return float(np.std(12.0 * np.log2(voiced))) if len(voiced) >= 10 else None


def mean(values: Sequence[float]) -> float:
    """The mean; 0 of nothing."""
    return float(np.mean(values)) if len(values) else 0.0
