"""Votes as the ratings of a run: which system of the test a run is, and the lines that it stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from speech_eval.analysis.listening.description import Key
from speech_eval.analysis.listening.kinds import KINDS
from speech_eval.analysis.listening.votes import Vote, marks
from speech_eval.engine.ratings import Rating
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput

REMARK = "text"  # in place of a metric


def system_of(key: Key, run: RunDirectory, taken: Sequence[str] = ()) -> str:
    """The label of the system that a run is: the one whose outputs it holds. `taken` are labels of other runs.

    Raises `BadInput` for a run whose outputs were not heard in the test.
    """
    if key.task not in run.manifest().tasks:
        raise BadInput(f"{run.path} has no task '{key.task}'.", "Give the runs that the test was built from.")
    held = {name: answer.digest() for name, answer in run.answers(key.task).items()}
    heard = {system.label: digests(key, system.label) for system in key.systems}
    own = [label for label, found in heard.items() if found and found.items() <= held.items()]
    if free := [label for label in own if label not in taken]:
        return free[0]
    if own:
        raise BadInput(f"{run.path} is given twice, or holds what another run holds.", "Give each run once.")
    raise BadInput(
        f"{run.path} holds other outputs than those heard in the test {key.test}.",
        "Give the runs that the test was built from, unchanged.",
    )


def digests(key: Key, label: str) -> dict[str, str]:
    """The digest of a system's output by sample, as it was heard."""
    return {
        trial.sample: sound.output
        for trial in key.trials.values()
        for sound in trial.sounds
        if sound.condition == label and sound.output
    }


def ratings_of(key: Key, label: str, votes: Sequence[Vote], excluded: Mapping[str, str]) -> list[Rating]:
    """What raters said of a system, with the reason where a rater does not count."""
    outputs = digests(key, label)

    def rating(metric: str, rater: str, sample: str, value: float | None = None, text: str = "") -> Rating:
        return Rating(
            id=sample,
            metric=metric,
            output=outputs[sample],
            test=key.test,
            rater=rater,
            value=None if value is None else float(round(value, 6)),
            text=text,
            excluded=excluded.get(rater, ""),
        )

    found = []
    for kind in KINDS.values():
        given = marks(votes, kind.name).get(label)
        if kind.metric and given is not None:
            cells = zip(given.raters, given.samples, given.values, strict=True)
            found += [rating(kind.metric, rater, sample, value) for rater, sample, value in cells]
    remarks = [vote for vote in votes if vote.text and vote.conditions == (label,)]
    return [*found, *(rating(REMARK, vote.rater, vote.sample, text=vote.text) for vote in remarks)]
