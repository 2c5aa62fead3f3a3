"""The settings of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from speech_eval.engine.executors import default_workers
from speech_eval.records import Ask


@dataclass(frozen=True)
class Settings:
    """What a user may choose about a run beside its model and tasks.

    `limit` is a number of samples, or as a float a share of them. `data`, `metrics` and `recognizer` replace what the
    tasks name; `language` is that of samples that state none; timed tasks ask for each sample `rounds` times; scoring
    runs on the `executor`, `local` or `ray`; `plugins` are the paths of Python files that are loaded already; `offline`
    plans without fetching anything; `ask` is how conversation models are asked (none: as speech); `under` are the
    conditions of the recordings that models are given, `clean` for the recordings as they are (none: clean); `judge`
    is the spec of the judge that metrics ask (None: that of the environment); `timeout` is the seconds that a model may
    take for one sample (None: the task's own); `regenerate` drops the run's answers, so that every one is made anew.
    """

    seed: int = 0
    limit: int | float | None = None
    rounds: int = 1
    batch_size: int | None = None
    workers: int = field(default_factory=default_workers)
    executor: str = "local"
    ray_address: str | None = None
    data: str | None = None
    language: str | None = None
    metrics: tuple[str, ...] = ()
    recognizer: str | None = None
    judge: str | None = None
    ask: tuple[Ask, ...] = ()
    under: tuple[str, ...] = ()
    retry_failed: bool = False
    regenerate: bool = False
    timeout: float | None = None
    trust_remote_code: bool = False
    plugins: tuple[str, ...] = ()
    offline: bool = False
