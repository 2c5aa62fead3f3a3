"""Direct preference optimization (Rafailov et al. 2023) on the best and the worst rollout of each group.

    loss = −log σ( β [ (log π − log π_start)(best) − (log π − log π_start)(worst) ] )

Rollouts come from the current model. A group of equal rewards, and rollouts that were cut off, give no pair.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from speech_eval.reference_models.speech_lm.interface import Generation, SpeakingModel
from speech_eval.reference_models.speech_lm.rl.rollout import Rollout, log_probs
from speech_eval.reference_models.speech_lm.rl.train import Aligner
from speech_eval.reference_models.training.loop import Values


def pair_of(group: Sequence[Rollout]) -> tuple[Generation, Generation] | None:
    """The best and the worst of those that ended by themselves; None if their rewards are equal."""
    ended = sorted((item for item in group if item.generation.stopped), key=lambda item: item.reward.value)
    if len(ended) < 2 or ended[-1].reward.value - ended[0].reward.value <= 1e-6:
        return None
    return ended[-1].generation, ended[0].generation


def dpo_loss(best: Tensor, worst: Tensor, beta: float) -> Tensor:
    """Summed loss of pairs. `best` and `worst` [pairs] are log-probabilities of whole rollouts minus those of the
    start."""
    return -F.logsigmoid(beta * (best - worst)).sum()


class DPO(Aligner):
    """`updates` passes over the pairs of each step."""

    def learn(self, groups: Sequence[Sequence[Rollout]]) -> Values:
        pairs = [pair for group in groups if (pair := pair_of(group)) is not None]
        (count,) = self.total([len(pairs)])
        if not count:
            return {"pairs": 0.0, "gradient": 0.0}
        batches = self.micro_batches(pairs)
        with torch.no_grad():
            before = [self._sums(self.start, batch) for batch in batches]
        for _ in range(self.config.updates):
            margins = [torch.zeros(0)]
            for batch, start in zip(batches, before, strict=True):
                above = self._sums(self.model, batch) - start
                (dpo_loss(above[0], above[1], self.config.beta) / count).backward()
                margins.append((above[0] - above[1]).detach().cpu())
            norm = self.update()
        margin = torch.cat(margins)
        preferred, summed = self.total([float((margin > 0).sum()), float(margin.sum())])
        return {"pairs": count, "preferred": preferred / count, "margin": summed / count, "gradient": norm}

    def _sums(self, model: SpeakingModel, pairs: Sequence[tuple[Generation, Generation]]) -> Tensor:
        """Log-probabilities [2, pairs] of whole rollouts: the best ones, the worst ones."""
        flat = [generation for side in zip(*pairs, strict=True) for generation in side]
        found, _ = log_probs(model, flat, self.config.temperature)
        return found.sum(1).reshape(2, len(pairs))
