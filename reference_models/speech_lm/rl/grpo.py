"""Group-relative policy optimization of a speaking model (Shao et al. 2024; for speech arXiv 2509.18798).

    A[i] = (r[i] − mean r) / std r                          over the rollouts of one text that ended by themselves
    loss = −min(ρ A, clip(ρ) A) + β (e^d − d − 1)           per token; ρ = π/π_old, d = log π_start − log π

With `compare: each` (GDPO, arXiv 2601.05242), A is the sum of the advantages of every reward, by weight, scaled to
mean 0 and variance 1 over the rollouts of the step.

Why not TRL's GRPOTrainer: it draws with `generate` over the whole vocabulary, with one seed per process, and decodes
the result to text for the reward functions. Here rollouts are drawn within what the layout allows at each position,
each from its own seed, so that a run is the same after a resume and at any batch size; the optimized probabilities are
those of that draw, renormalized over what was allowed; and rewards are computed on audio.

Rollouts that were cut off are masked: their reward is that of the limit, not of the speech. A group of equal rewards
teaches nothing and is left out whole, its KL term included, so its gradient is zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from speech_eval.reference_models.speech_lm.rl.rollout import Rollout, log_probs
from speech_eval.reference_models.speech_lm.rl.train import Aligner
from speech_eval.reference_models.training.loop import Values

_SAME = 1e-6  # rewards that differ by less count as equal


def advantages(rewards: Tensor, kept: Tensor, scale: bool = True) -> Tensor:
    """Advantages [P, G] of rewards [P, G]: the difference to the mean of the group's `kept` ones, divided by their
    standard deviation if `scale`. 0 for what is not kept, and in groups of equal rewards."""
    count = kept.sum(1, keepdim=True).clamp(min=1)
    mean = (rewards * kept).sum(1, keepdim=True) / count
    centered = (rewards - mean) * kept
    deviation = (centered.square().sum(1, keepdim=True) / count).sqrt()
    centered = torch.where(deviation > _SAME, centered, torch.zeros_like(centered))
    return centered / deviation.clamp(min=_SAME) if scale else centered


def grpo_loss(
    new: Tensor, old: Tensor, start: Tensor, drawn: Tensor, advantage: Tensor, clip: tuple[float, float], beta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Summed loss of each rollout [B], and over all of them the summed KL and the number of clipped tokens, of
    log-probabilities [B, T] and advantages [B]; only tokens where `drawn` [B, T] count."""
    ratio = (new - old).exp()
    gain = advantage[:, None]
    bounded = ratio.clamp(1.0 - clip[0], 1.0 + clip[1])
    surrogate = torch.minimum(ratio * gain, bounded * gain)
    away = start - new
    kl = away.exp() - away - 1.0
    clipped = ((ratio * gain > bounded * gain) & drawn).sum()
    return ((beta * kl - surrogate) * drawn).sum(1), (kl * drawn).sum().detach(), clipped


class GRPO(Aligner):
    """`updates` passes over the rollouts of each step; the loss is a mean over those of all processes."""

    def learn(self, groups: Sequence[Sequence[Rollout]]) -> Values:
        config = self.config
        kept = torch.tensor([[item.generation.stopped for item in group] for group in groups])
        gains = self.gains(groups, kept)
        telling = (gains != 0).any(1)
        chosen = [
            (item.generation, gains[row, column])
            for row, group in enumerate(groups)
            for column, item in enumerate(group)
            if telling[row] and kept[row, column]
        ]
        own = [float((~kept).sum()), float((~telling).sum()), float(sum(len(item.ids) + 1 for item, _ in chosen))]
        masked, same, tokens, rollouts, texts, learned = self.total([*own, kept.numel(), len(telling), len(chosen)])
        stats = {"masked": masked / rollouts, "same": same / texts}
        if not tokens:
            return stats | {"gradient": 0.0}
        batches = self.micro_batches(chosen)
        with torch.no_grad():
            before = [
                tuple(
                    log_probs(model, [generation for generation, _ in batch], config.temperature)[0]
                    for model in (self.model, self.start)
                )
                for batch in batches
            ]
        for _ in range(config.updates):
            total_kl, total_clipped = 0.0, 0.0
            for batch, (old, start) in zip(batches, before, strict=True):
                new, drawn = log_probs(self.model, [generation for generation, _ in batch], config.temperature)
                advantage = torch.stack([gain for _, gain in batch]).to(new.device)
                loss, own_kl, own_clipped = grpo_loss(new, old, start, drawn, advantage, config.clip, config.beta)
                (loss * self.shares(drawn, tokens, learned)).sum().backward()
                total_kl, total_clipped = total_kl + float(own_kl), total_clipped + float(own_clipped)
            norm = self.update()
        kl, clipped = self.total([total_kl, total_clipped])
        return stats | {"kl": kl / tokens, "clipped": clipped / tokens, "gradient": norm}

    def gains(self, groups: Sequence[Sequence[Rollout]], kept: Tensor) -> Tensor:
        """Advantages [P, G] of the rollouts of a step."""
        config = self.config
        if config.compare == "joined":
            joined = torch.tensor([[item.reward.value for item in group] for group in groups])
            return advantages(joined, kept, config.scale)
        found = torch.zeros(kept.shape, dtype=torch.float64)  # weights may cancel, and their rounding must not count
        for name, weight in config.rewards.items():
            values = [[item.rewards[name].value for item in group] for group in groups]
            found += weight * advantages(torch.tensor(values, dtype=torch.float64), kept, config.scale)
        telling = (found.abs() > _SAME).any(1, keepdim=True) & kept
        chosen = found[telling]
        count, summed, squares = self.total([float(len(chosen)), float(chosen.sum()), float(chosen.square().sum())])
        mean = summed / max(count, 1.0)
        deviation = max(squares / max(count, 1.0) - mean**2, 0.0) ** 0.5
        return torch.where(telling, (found - mean) / max(deviation, _SAME), 0.0).float()

    def shares(self, drawn: Tensor, tokens: float, rollouts: float) -> Tensor:
        """The weight of each token of a rollout [B], of `tokens` and `rollouts` in all processes."""
        if self.config.average == "token":
            return torch.full((len(drawn),), 1.0 / tokens, device=drawn.device)
        return 1.0 / (drawn.sum(1) * rollouts)
