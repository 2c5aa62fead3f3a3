"""The ear: a pretrained speech encoder, run on the real length of the audio instead of Whisper's 30 s.

An encoder of 30 s windows costs 0.7 to 1.6 s per utterance on one CPU thread; on the real length of short ones, eight
of equal length at a time, a tenth of that. Longer audio is cut into chunks of 30 s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
from torch import Tensor, nn

from speech_eval.adapters.checkpoints import parse_dtype
from speech_eval.audio import Samples, check_waveform
from speech_eval.errors import BadAudio, BadInput
from speech_eval.reference_models.speech_lm.speech_encoders import FRAME_RATE, RATE, load_encoder, whisper_states

CHUNK_SECONDS = 30
_UNIT = 2560  # samples: lengths are rounded up to .16 s, so that several of a batch are equal
_TAIL = 1600  # samples of silence at least after the speech
_BATCH = 8
_SHORTEST = 400  # samples: 25 ms, one window of the encoders


class SpeechEncoder(nn.Module):
    """Waveforms at 16 kHz to features [frames, dim] at 50 per second, of one hidden `layer` (-1: the last).

    `spec` is `whisper-base`, `whisper-tiny.en`, or a directory or hub name of a Whisper, wav2vec 2.0, HuBERT, WavLM or
    w2v-BERT. Always frozen; `dtype` is what it computes in.
    """

    rate, frame_rate = RATE, FRAME_RATE

    def __init__(self, spec: str, layer: int = -1, dtype: str = "float32") -> None:
        super().__init__()
        pretrained = load_encoder(spec)
        last = int(pretrained.model.config.num_hidden_layers)
        if not -1 - last <= layer <= last:
            raise BadInput(f"{spec} has the hidden states 0 to {last}, not {layer}.", "Correct model.encoder.layer.")
        self.spec, self.layer, self.kind, self.dim = spec, layer, pretrained.kind, pretrained.dim
        self.weights_sha256 = pretrained.weights_sha256
        self.extract = pretrained.extract
        self.model = pretrained.model.to(parse_dtype(dtype)).eval()

    @torch.no_grad()
    def forward(self, waves: Sequence[Samples], names: Sequence[str] = ()) -> list[Tensor]:
        """Features [frames, dim] float32 of each waveform, as many frames as it lasts. Raises `BadAudio` for a waveform
        that is empty, shorter than 25 ms, or not finite, by its name if `names` are given."""
        called = names or [f"recording {index}" for index in range(len(waves))]
        pieces = [(index, piece) for index, wave in enumerate(waves) for piece in self._chunks(called[index], wave)]
        by_length: dict[int, list[int]] = defaultdict(list)
        for number, (_, piece) in enumerate(pieces):
            by_length[_padded(len(piece))].append(number)
        found: dict[int, Tensor] = {}
        for length, numbers in by_length.items():
            for first in range(0, len(numbers), _BATCH):
                batch = numbers[first : first + _BATCH]
                states = self._states([np.pad(pieces[n][1], (0, length - len(pieces[n][1]))) for n in batch])
                found |= {n: states[row, : frames_of(len(pieces[n][1]))] for row, n in enumerate(batch)}
        return [torch.cat([found[n] for n, (owner, _) in enumerate(pieces) if owner == i]) for i in range(len(waves))]

    def _chunks(self, name: str, wave: Samples) -> list[Samples]:
        samples = check_waveform(wave, RATE, name).samples
        if len(samples) < _SHORTEST:
            raise BadAudio(f"{name}: {len(samples)} samples are too short to hear.", "Leave it out.")
        step = CHUNK_SECONDS * RATE
        starts = [at for at in range(0, len(samples), step) if at == 0 or len(samples) - at >= _SHORTEST]
        return [samples[at : at + step] for at in starts]

    def _states(self, waves: list[Samples]) -> Tensor:
        """[B, frames, dim] of waveforms of one length."""
        options = {"truncation": False} if self.kind == "whisper" else {}
        inputs = self.extract(waves, sampling_rate=RATE, padding="longest", return_tensors="pt", **options)
        parameter = next(self.model.parameters())
        name = next(iter(inputs))
        values = inputs[name].to(parameter.device, parameter.dtype)
        if self.kind == "whisper":
            limit = self.model.embed_positions.weight.shape[0] * 2
            return whisper_states(self.model, values[..., :limit])[self.layer].float()
        return self.model(**{name: values}, output_hidden_states=True).hidden_states[self.layer].float()


def frames_of(samples: int) -> int:
    """Features of so many samples at 16 kHz."""
    return max(1, round(samples * FRAME_RATE / RATE))


def _padded(samples: int) -> int:
    whole = -(-(samples + _TAIL) // _UNIT) * _UNIT
    return min(whole, max(samples, CHUNK_SECONDS * RATE))


def check_seconds(seconds: float, longest: float, what: str) -> None:
    """Raise `BadInput` for audio of more than `longest` seconds."""
    if seconds > longest:
        raise BadInput(
            f"{what}: {ceil(10 * seconds) / 10:g} s of audio; this model was made for up to {longest:g} s.",
            "Cut it into shorter recordings.",
        )
