"""What the turns before it tell a contextual speech LM of a turn: nats per code of held-out turns.

    python benchmarks/context.py CHECKPOINT [--conversations 16]

CHECKPOINT is a directory that `speech-eval train conversation/csm-context` wrote, with the shards of its training.
Every turn but the first of a conversation is scored alone, after the turns before it, and after as many turns of
another conversation. One line per speaker, with the mean of the paired differences and its 95 % bootstrap interval over
conversations.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speech_eval.reference_models.conversation.context.turns import Turn, conversations, joined
from speech_eval.reference_models.data.splits import HELD_OUT
from speech_eval.reference_models.data.token_shards import Shards
from speech_eval.reference_models.speech_lm.tokenizer import IGNORE
from speech_eval.reference_models.tts import building

_DRAWS = 2000


def nats(model: Any, context: Sequence[Turn], turn: Turn) -> float:
    """Nats per code of a turn after a context, all codebooks."""
    rows, labels = joined(model.tokenizer, [*context, turn])
    own = len(joined(model.tokenizer, [turn])[0])
    labels[:-own] = IGNORE
    first = max(0, len(rows) - model.tokenizer.context)
    ids, wanted = (torch.from_numpy(part[first:])[None] for part in (rows, labels))
    counts = model.counts(wanted)
    return float(sum(model(ids, wanted).values())) / sum(counts.values())


def interval(differences: list[list[float]]) -> list[float]:
    """The 95 % interval of the mean over conversations drawn with replacement."""
    draw = np.random.default_rng(0)
    drawn = [
        np.concatenate([differences[i] for i in draw.integers(len(differences), size=len(differences))]).mean()
        for _ in range(_DRAWS)
    ]
    return [round(float(value), 4) for value in np.quantile(drawn, (0.025, 0.975))]


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--conversations", type=int, default=16)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, _ = building.load(args.checkpoint)
    held_out = conversations(Shards(args.checkpoint / "shards", HELD_OUT))[: args.conversations]
    if not any(len(turns) > 1 for turns in held_out):
        raise SystemExit(f"{args.checkpoint} has no held-out conversation: train on more of them.")
    scores: dict[str, list[list[tuple[float, float, float]]]] = {"agent": [], "user": []}
    for index, turns in enumerate(held_out):
        other = held_out[(index + 1) % len(held_out)]
        own: dict[str, list[tuple[float, float, float]]] = {"agent": [], "user": []}
        for place, turn in enumerate(turns[1:], 1):
            three = nats(model, [], turn), nats(model, turns[:place], turn), nats(model, other[:place], turn)
            own[turn.document.speaker].append(three)
        for speaker, found in own.items():
            scores[speaker] += [found] if found else []
    for speaker, found in ((name, each) for name, each in scores.items() if each):
        alone, after, after_another = np.mean([three for each in found for three in each], axis=0)
        row = {"speaker": speaker, "turns": sum(map(len, found)), "alone": alone, "after_its_turns": after}
        row |= {"after_turns_of_another": after_another}
        shown = {
            name: round(float(value), 4) if isinstance(value, np.floating) else value for name, value in row.items()
        }
        gain = [[a - b for a, b, _ in each] for each in found]
        own_over_other = [[c - b for _, b, c in each] for each in found]
        print(json.dumps(shown | {"gain": interval(gain), "gain_over_another": interval(own_over_other)}), flush=True)


if __name__ == "__main__":
    main()
