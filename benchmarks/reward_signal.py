"""How much of a reward's gradient is signal: how many groups of rollouts GRPO would have to see in a step.

    python benchmarks/reward_signal.py tts/grpo-cer --size cpu --data voice --steps 16

Draws the rollouts of that many steps from the recipe's start and takes the policy gradient g of each group. Nearly
all groups are of different texts, so the mean of g·h over pairs of them is the squared length of the gradient that they
share, and the mean of g·g is that with the noise of one group. As many groups as their ratio have to be averaged for a
gradient that is half signal. The interval is a jackknife's over groups. Memory: all gradients at once.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speech_eval.progress import silent
from speech_eval.reference_models.recipes.schema import load
from speech_eval.reference_models.speech_lm.rl.config import AlignmentConfig
from speech_eval.reference_models.speech_lm.rl.grpo import advantages
from speech_eval.reference_models.speech_lm.rl.rollout import Rollout, log_probs
from speech_eval.reference_models.speech_lm.rl.train import Aligner
from speech_eval.reference_models.tts.align import Alignment, start_of


def gradient(aligner: Aligner, group: list[Rollout]) -> Tensor | None:
    """Gradient of the mean over the tokens of advantage × log-probability, all parameters concatenated; None if all
    rewards are equal."""
    kept = torch.tensor([[item.generation.stopped for item in group]])
    gain = advantages(torch.tensor([[item.reward.value for item in group]]), kept, aligner.config.scale)[0]
    if not gain.any():
        return None
    logs, drawn = log_probs(aligner.model, [item.generation for item in group], aligner.config.temperature)
    aligner.model.zero_grad(set_to_none=True)
    (logs * gain[:, None]).sum().div(drawn.sum()).backward()
    return torch.cat([part.grad.flatten() for part in aligner.model.parameters() if part.grad is not None])


def shares(gradients: Tensor) -> dict[str, Any]:
    """Signal and noise of gradients [groups, parameters]."""
    products = (gradients @ gradients.T).double()
    count, own = len(products), products.diag()
    between = products.sum() - own.sum()
    signal = float(between / (count * (count - 1)))
    left_out = (between - 2 * (products.sum(1) - own)) / ((count - 1) * (count - 2))
    deviation = float(((count - 1) * left_out.var(correction=0)).sqrt())
    return {
        "groups": count,
        "signal": signal,
        "signal_95": [signal - 1.96 * deviation, signal + 1.96 * deviation],
        "noise_of_a_group": float(own.mean()),
        "groups_for_half_signal": float(own.mean()) / signal if signal > 0 else None,
        "groups_for_half_signal_at_least": float(own.mean()) / max(signal + 1.96 * deviation, 1e-12),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="an alignment recipe")
    parser.add_argument("--size", default="cpu")
    parser.add_argument("--data", type=Path, required=True, help="an AudioFolder, as `speech-eval data prepare` writes")
    parser.add_argument("--steps", type=int, default=16)
    given = parser.parse_args()
    recipe = load(given.recipe, given.size)
    config = recipe.read(AlignmentConfig, recipe.training).model_copy(update={"guards": None})
    with tempfile.TemporaryDirectory() as scratch:
        start = start_of(config.start, given.data, Path(scratch), silent, print)
        aligner = Alignment(recipe.name, config, start, given.data, Path(scratch)).aligner
        found = []
        for number in range(given.steps):
            found += [gradient(aligner, group) for group in aligner.rollouts(number)]
            told = [one for one in found if one is not None]
            if len(told) > 2:
                print(json.dumps({"step": number, **shares(torch.stack(told))}), flush=True)


if __name__ == "__main__":
    main()
