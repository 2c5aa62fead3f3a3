"""Direct preference optimization (Rafailov et al. 2023) on the best and the worst rollout of each group.

    loss = −log σ( β [ (log π − log π_start)(best) − (log π − log π_start)(worst) ] )

Rollouts come from the current model, or once from the start (`pairs`). A group of equal rewards, and rollouts that were
cut off, give no pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from speech_eval.errors import BadInput
from speech_eval.progress import Progress
from speech_eval.reference_models.speech_lm.interface import SpeakingModel
from speech_eval.reference_models.speech_lm.rl.pairs import Pair, Pairs, pairs_of
from speech_eval.reference_models.speech_lm.rl.rollout import Rollout, log_probs, rollouts
from speech_eval.reference_models.speech_lm.rl.train import Aligner
from speech_eval.reference_models.training.loop import Values


def dpo_loss(best: Tensor, worst: Tensor, beta: float) -> Tensor:
    """Summed loss of pairs. `best` and `worst` [pairs] are log-probabilities of whole rollouts minus those of the
    start."""
    return -F.logsigmoid(beta * (best - worst)).sum()


class DPO(Aligner):
    """`updates` passes over the pairs of each step."""

    def learn(self, groups: Sequence[Sequence[Rollout]]) -> Values:
        return self.prefer([pair for group in groups for pair in pairs_of(group)])

    def prefer(self, pairs: Sequence[Pair]) -> Values:
        """Make the best of each pair more likely than the worst, compared with the start."""
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

    def _sums(self, model: SpeakingModel, pairs: Sequence[Pair]) -> Tensor:
        """Log-probabilities [2, pairs] of whole rollouts: the best ones, the worst ones."""
        flat = [generation for side in zip(*pairs, strict=True) for generation in side]
        found, _ = log_probs(model, flat, self.config.temperature)
        return found.sum(1).reshape(2, len(pairs))


class OfflineDPO(DPO):
    """Learns from pairs that were written once, `texts_per_step` texts at a time."""

    pairs: Sequence[Sequence[Pair]] = ()  # of each text that has any

    def write(self, file: Path, plan: Mapping[str, Any], progress: Progress) -> None:
        """Roll out every line from the start and write its pairs, going on after those that `file` has of the same
        `plan`."""
        with Pairs(file, self.model.tokenizer).writing(plan) as written:
            for number, line in enumerate(self.lines):
                if line.id not in written:
                    (group,) = rollouts(self.start, [line], self.reward, self.config, self.sampling, 0)
                    written.add(line, group, self.config.pairs or 1)
                progress("pairs", number + 1, len(self.lines))

    def read(self, file: Path) -> int:
        """Take the pairs of a file; their number. Raises `BadInput` for pairs of fewer texts than a step takes."""
        self.pairs = [pairs for pairs in Pairs(file, self.model.tokenizer).read() if pairs]
        needed = self.config.texts_per_step * self.accelerator.num_processes
        if len(self.pairs) < needed:
            raise BadInput(
                f"{file}: {len(self.pairs)} texts have a better and a worse rollout, and a step takes {needed}.",
                "Raise training.texts or training.group, or lower training.texts_per_step.",
            )
        return sum(map(len, self.pairs))

    def step(self, number: int) -> Values:
        return self.prefer([pair for pairs in self.drawn(self.pairs, number) for pair in pairs])

    def rolled_out(self, steps: int) -> int:
        return len(self.lines) * self.config.group
