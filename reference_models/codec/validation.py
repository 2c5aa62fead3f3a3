"""The codec on held-out recordings: the mel distance, the use of the codes, audio, and spectrograms."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speech_eval.audio import Audio, flac_bytes
from speech_eval.cache import write_atomically
from speech_eval.engine.run_directory import safe_name
from speech_eval.progress import Say
from speech_eval.reference_models.codec.losses import MelLoss
from speech_eval.reference_models.codec.model import Codec
from speech_eval.reference_models.codec.quantizers import CodeStatistics
from speech_eval.reference_models.data.corpus import Clip, Corpus
from speech_eval.reference_models.data.segments import read
from speech_eval.reference_models.data.splits import HELD_OUT
from speech_eval.reference_models.training.spectrogram import spectrograms

_SECONDS = 6.0
_SHOWN = 3


class Validation:
    """The `count` held-out clips whose ids hash lowest, at most 6 s of each, padded to the `shortest` number of samples
    that the losses can analyze. `found` is the last result."""

    def __init__(self, corpus: Corpus, rate: int, count: int, shortest: int, say: Say) -> None:
        self.rate, self.shortest = rate, shortest
        self.found: dict[str, Any] = {}
        clips = corpus.split(HELD_OUT)
        if not clips:
            say(f"no validation: {corpus.name} has no recording in its split '{HELD_OUT}'")
        ranked = sorted(clips, key=lambda clip: hashlib.sha256(clip.id.encode()).digest())
        self.recordings = [(clip.id, self._load(clip)) for clip in ranked[:count]]

    def _load(self, clip: Clip) -> Audio:
        samples = read(clip, 0.0, min(_SECONDS, clip.seconds)).resampled(self.rate).samples
        return Audio(np.pad(samples, (0, max(0, self.shortest - len(samples)))), self.rate)

    @torch.no_grad()
    def run(self, codec: Codec, mel: MelLoss, folder: Path, step: int) -> dict[str, Any]:
        """Mel distance (mean over clips) and the use of the codes. For three clips, writes `step-N/CLIP.flac` (decoded)
        and `CLIP.svg` (spectrograms of the original and the decoded recording)."""
        codec.eval()
        statistics = CodeStatistics(codec.codebook_sizes)
        distances = []
        for number, (name, recording) in enumerate(self.recordings):
            audio = torch.from_numpy(recording.samples)[None, None].to(next(codec.parameters()).device)
            codes = codec.encode(audio)  # as the checkpoint will be used: in float32, whatever it is trained in
            heard = codec.decode(codes)[..., : audio.shape[-1]]
            statistics.update(codes)
            distances.append(float(mel(heard, audio)))
            if number < _SHOWN:
                decoded = Audio(heard[0, 0].cpu().numpy(), self.rate)
                place = folder / f"step-{step:07d}"
                write_atomically(place / f"{safe_name(name)}.flac", flac_bytes(decoded))
                picture = spectrograms({f"{name}: original": recording, f"decoded, step {step}": decoded})
                write_atomically(place / f"{safe_name(name)}.svg", picture.encode())
        self.found = {
            "step": step,
            "mel": sum(distances) / len(distances),
            "clips": len(distances),
            "codebooks": [
                {"usage": level.usage, "perplexity": level.perplexity, "entropy_bits": level.entropy}
                for level in statistics.report()
            ],
            "bitrate_efficiency": statistics.bitrate_efficiency(),
        }
        return self.found
