"""Direct preference optimization (Rafailov et al. 2023) on the best and the worst try of each group.

    loss = −log σ( β [ (log π − log π_start)(best) − (log π − log π_start)(worst) ] )

The tries are the model's own of the moment. A group whose tries are worth the same, and tries that were cut off, give
no pair.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from speech_eval.reference_models.speech_lm.rl.rollout import Aligner, Try, log_probs
from speech_eval.reference_models.speech_lm.sampling import Spoken


def pair_of(group: Sequence[Try]) -> tuple[Spoken, Spoken] | None:
    """The best and the worst of those that ended by themselves; None where they are worth the same."""
    ended = sorted((item for item in group if item.spoken.stopped), key=lambda item: item.worth.value)
    if len(ended) < 2 or ended[-1].worth.value - ended[0].worth.value <= 1e-6:
        return None
    return ended[-1].spoken, ended[0].spoken


def dpo_loss(best: Tensor, worst: Tensor, beta: float) -> Tensor:
    """Summed loss of pairs, whose log-probabilities of whole tries are above those of the start by `best` and `worst`
    [pairs]."""
    return -F.logsigmoid(beta * (best - worst)).sum()


class DPO(Aligner):
    """`updates` passes over every step's pairs."""

    def learn(self, groups: Sequence[Sequence[Try]]) -> dict[str, float]:
        pairs = [pair for group in groups if (pair := pair_of(group)) is not None]
        if not pairs:
            return {"pairs": 0.0, "preferred": 0.0, "margin": 0.0, "gradient": 0.0}
        batches = self.micro_batches(pairs)
        with torch.no_grad():
            before = [self._sums(self.start, batch) for batch in batches]
        for _ in range(self.config.updates):
            margins: list[Tensor] = []
            for batch, start in zip(batches, before, strict=True):
                above = self._sums(self.model, batch) - start
                (dpo_loss(above[0], above[1], self.config.beta) / len(pairs)).backward()
                margins.append((above[0] - above[1]).detach())
            norm = self.update()
        margin = torch.cat(margins)
        return {
            "pairs": float(len(pairs)),
            "preferred": float((margin > 0).float().mean()),
            "margin": float(margin.mean()),
            "gradient": norm,
        }

    def _sums(self, model: object, pairs: Sequence[tuple[Spoken, Spoken]]) -> Tensor:
        """Log-probabilities [2, pairs] of whole tries: the best ones, the worst ones."""
        flat = [spoken for side in zip(*pairs, strict=True) for spoken in side]
        found, _ = log_probs(model, flat, self.config.temperature)  # type: ignore[arg-type]
        return found.sum(1).reshape(2, len(pairs))
