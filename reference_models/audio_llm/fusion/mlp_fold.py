"""Frame folding and an MLP: Voxtral folds 4 frames (12.5 Hz), Qwen2-Audio pools 2."""

from __future__ import annotations

from torch import Tensor, nn

from speech_eval.reference_models.audio_llm.config import FoldSection
from speech_eval.reference_models.audio_llm.fusion.base import Fusion, stacked


class MlpFold(Fusion):
    """LayerNorm → `fold` frames side by side → Linear → GELU → Linear."""

    def __init__(self, config: FoldSection, dim: int, width: int, rms: float) -> None:
        super().__init__(width, rms)
        self.fold = config.fold
        self.before = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim * config.fold, config.hidden), nn.GELU(), nn.Linear(config.hidden, width)
        )

    def project(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        folded, counts = stacked(self.before(features), lengths, self.fold)
        return self.mlp(folded), counts
