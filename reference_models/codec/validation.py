"""The codec on held-out recordings: the mel distance, the use of the codes, audio, and spectrograms."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from speech_eval.audio import Audio, flac_bytes
from speech_eval.cache import write_atomically
from speech_eval.engine.run_directory import safe_name
from speech_eval.errors import BadAudio, BadInput
from speech_eval.reference_models.codec.losses import MelLoss
from speech_eval.reference_models.codec.model import Codec
from speech_eval.reference_models.codec.quantizers import CodeStatistics
from speech_eval.reference_models.data.segments import Clip, clips_of, read
from speech_eval.reference_models.training.spectrogram import spectrograms

_SECONDS = 6.0
_SHOWN = 3


class Validation:
    """The `count` held-out clips whose ids hash lowest, at most 6 s of each. `found` is the last result."""

    def __init__(self, folder: Path, rate: int, count: int, log: Any, say: Any) -> None:
        self.rate, self.log = rate, log
        self.found: dict[str, Any] = {}
        try:
            clips, bad = clips_of(folder, "held-out")
        except BadInput as error:
            say(f"no validation: {error.problem}")
            clips, bad = [], []
        log.note(bad, say)
        ranked = sorted(clips, key=lambda clip: hashlib.sha256(clip.id.encode()).digest())
        self.recordings = [found for clip in ranked[:count] if (found := self._load(clip, say))]

    def _load(self, clip: Clip, say: Any) -> tuple[str, Audio] | None:
        try:
            return clip.id, read(clip, 0.0, min(_SECONDS, clip.seconds)).resampled(self.rate)
        except BadAudio as error:
            say(f"skipped {clip.id} in validation: {error.problem}")
            return None

    @torch.no_grad()
    def run(self, codec: Codec, mel: MelLoss, folder: Path, step: int) -> dict[str, Any]:
        """Mel distance (mean over clips) and the use of the codes. For three clips, writes `step-N/CLIP.flac` (decoded)
        and `CLIP.svg` (spectrograms of the original and the decoded recording)."""
        if not self.recordings:
            return {"mel": float("nan"), "clips": 0}
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
