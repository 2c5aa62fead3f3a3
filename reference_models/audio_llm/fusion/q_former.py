"""A Q-Former over windows: SALMONN has one query per .333 s, Granite three per 15 frames."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.reference_models.audio_llm.config import QFormerSection
from speech_eval.reference_models.audio_llm.fusion.base import Fusion


class QFormer(Fusion):
    """Learned queries look at each window of `window` frames through layers of cross-attention and feed-forward.

    Windows see nothing of each other, so that the cost grows linearly with the length and the words stay in order.
    """

    def __init__(self, config: QFormerSection, dim: int, width: int, rms: float) -> None:
        super().__init__(width, rms)
        self.window, self.queries = config.window, config.queries
        self.query = nn.Parameter(torch.randn(config.queries, config.width) * 0.02)
        self.place = nn.Parameter(torch.randn(config.window, config.width) * 0.02)
        self.before = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, config.width))
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                config.width, config.heads, 4 * config.width, 0.0, F.gelu, batch_first=True, norm_first=True
            )
            for _ in range(config.layers)
        )
        self.after = nn.Linear(config.width, width)

    def project(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        batch, frames, _ = features.shape
        x = F.pad(self.before(features), (0, 0, 0, -frames % self.window))
        windows = x.shape[1] // self.window
        inside = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        unseen = ~inside.reshape(batch * windows, self.window)
        unseen[unseen.all(1)] = False  # windows behind the end, whose queries are not used, must not give NaN
        memory = x.reshape(batch * windows, self.window, -1) + self.place
        found = self.query.expand(batch * windows, -1, -1)
        for layer in self.layers:
            found = layer(found, memory, memory_key_padding_mask=unseen)
        counts = -(-lengths // self.window) * self.queries
        return self.after(found).reshape(batch, windows * self.queries, -1), counts
