"""Rounds: every sample is asked for several times, so that models take turns and drift of the machine affects both.

The contract of the records. In a run with `--rounds R`, R > 1, each sample of a timed task occurs R times in
`samples/<task>.jsonl`: its id is `<id>@<round>`, `round` counts from 1 to R, and `item` is the id that
the dataset gave it; its `cluster` is the dataset's own or else `item <id>`, for repetitions of one item are not
independent. Everything else is as in the dataset. A sample without `round` was asked for once: round 1. Two runs that
were interleaved have the same ids, so (item, round) pairs across them.
"""

from __future__ import annotations

import dataclasses

from speech_eval.datasets.dataset import Dataset
from speech_eval.errors import BadInput
from speech_eval.records import Manifest, Sample


def expand(dataset: Dataset, rounds: int) -> Dataset:
    """Every sample once per round, round after round; the dataset itself for one round. `sha256` stays: it is of the
    data, and the number of rounds is in the task's record."""
    if rounds < 1:
        raise BadInput(f"{rounds} rounds leave nothing to do.", "Give 1 or more.")
    if rounds == 1:
        return dataset
    samples = tuple(_in_round(sample, number) for number in range(1, rounds + 1) for sample in dataset.samples)
    return dataclasses.replace(dataset, samples=samples)


def _in_round(sample: Sample, number: int) -> Sample:
    changes = {
        "id": f"{sample.id}@{number}",
        "cluster": sample.cluster or f"item {sample.id}",
        "round": number,
        "item": sample.id,
    }
    return sample.model_copy(update=changes)


def round_of(sample: Sample) -> int:
    """The round a sample was asked in, from 1."""
    return 1 if sample.round is None else sample.round


def calls_of(manifest: Manifest, task: str) -> dict[int, set[str]]:
    """For each round of a timed task, the calls of `speech-eval run` in which its answers were asked for: one, or
    several where a run was stopped in the middle of a round. Calls in which the round had been done already are left
    out."""
    found: dict[int, set[str]] = {}
    for event in manifest.events:
        if event.task == task and event.warm_up and event.round is not None and event.call is not None:
            found.setdefault(event.round, set()).add(event.call)
    return found
