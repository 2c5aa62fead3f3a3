"""Codebooks that use one code for everything: named when they begin to, and an end to a training of nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from speech_eval.progress import Say
from speech_eval.reference_models.codec.quantizers import LevelStatistics
from speech_eval.reference_models.training.log import TrainingStopped

_REPORTS, _STEPS = 3, 300  # how many reports in a row, over how many steps, before training stops


class CollapseWatch:
    """What the reports of a training tell of its codebooks. `since` is the step of the first of the last reports in
    which every codebook was collapsed, None if one is not."""

    def __init__(self, warmup: int, say: Say, *, stop: bool, normalized: bool) -> None:
        self.warmup, self.say, self.stop, self.normalized = warmup, say, stop, normalized
        self.named: set[int] = set()
        self.since: int | None = None
        self.reports = 0

    def look(self, step: int, levels: Sequence[LevelStatistics]) -> None:
        """Name the codebooks that have collapsed since the last report. Raises `TrainingStopped` with the remedy if all
        of them have been for long after the warm-up."""
        collapsed = {index for index, level in enumerate(levels) if level.collapsed}
        for index in sorted(collapsed - self.named):
            self.say(f"step {step}: codebook {index} uses one code of {levels[index].size} for nearly all frames")
        self.named = collapsed
        if len(collapsed) < len(levels) or step <= self.warmup:
            self.since, self.reports = None, 0
            return
        self.since = step if self.since is None else self.since
        self.reports += 1
        if self.stop and self.reports >= _REPORTS and step - self.since >= _STEPS:
            raise TrainingStopped(
                f"step {step}: since step {self.since} every codebook uses one code for nearly all frames, so the "
                "codec carries nothing; a training seldom comes back from there.",
                ("" if self.normalized else "Set model.norm: true. ")
                + "Lower training.optimizer.learning_rate, or raise training.optimizer.warmup_steps. With "
                "training.on_collapse: warn it goes on.",
            )
