"""The rules of a gate: what a line of the rules file may say. docs/gate.md explains each kind. Rules are a YAML list:

- {task: asr, metric: 'wer[whisper-normalizer@20250625]/wer', max: 10}     an absolute bound
- {task: asr, metric: 'wer[whisper-normalizer@20250625]/wer', margin: 0.5}  at most this much worse than the baseline
- {task: latency, metric: 'ttfa[first-audible@2]/ttfb-p50', factor: 1.2}   slower than the baseline by at most this
- {task: asr, metric: 'wer[whisper-normalizer@20250625]/wer', by: accent, max: 15}   the same for the worst slice
- {task: asr, failures: 0}                                                 most samples without an answer
- {task: asr, completeness: 1}                                             least share of samples with an output
- {task: seed-tts, stop_rate: 0.98}                                        least share of answers the model ended
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from speech_eval.errors import BadInput
from speech_eval.records import Record
from speech_eval.statistics.power import LEAST_UNITS

Kind = Literal["max", "min", "margin", "factor", "failures", "completeness", "stop_rate"]
KINDS: tuple[Kind, ...] = ("max", "min", "margin", "factor", "failures", "completeness", "stop_rate")
ON_A_NUMBER = ("max", "min", "margin", "factor")
BY_SLICE = ("max", "min", "margin")


class Rule(Record):
    """One line of the rules file: exactly one of `KINDS`. `max`, `min` and `margin` are in the metric's unit.

    `alpha` is the level of each of the rule's two one-sided tests; `minimum_n` is the least number of independent
    units (samples, or clusters of samples) that the rule judges. With `by`, a column of the samples, a bound holds in
    every slice, of which those with fewer than `minimum_n` units are not judged; `bins` cut a column of numbers.
    """

    task: str
    metric: str = ""
    max: float | None = None
    min: float | None = None
    margin: float | None = Field(default=None, ge=0)
    factor: float | None = Field(default=None, gt=1)
    failures: int | None = Field(default=None, ge=0)
    completeness: float | None = Field(default=None, ge=0, le=1)
    stop_rate: float | None = Field(default=None, ge=0, le=1)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    minimum_n: int = Field(default=LEAST_UNITS, ge=2)
    by: str = ""
    bins: list[float] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_bound(self) -> Rule:
        bounds = [name for name in KINDS if getattr(self, name) is not None]
        if len(bounds) != 1:
            raise ValueError(f"a rule has exactly one of {', '.join(KINDS)}")
        if bounds[0] in ON_A_NUMBER and not self.metric:
            raise ValueError("a rule on a number names its metric, such as 'wer[whisper-normalizer@20250625]/wer'")
        if self.by and bounds[0] not in BY_SLICE:
            raise ValueError(f"a rule by a column has one of {', '.join(BY_SLICE)}")
        if self.bins and not self.by:
            raise ValueError("bins cut a column, which by names")
        return self

    @property
    def kind(self) -> Kind:
        return next(name for name in KINDS if getattr(self, name) is not None)

    @property
    def limit(self) -> float:
        return float(getattr(self, self.kind))

    @property
    def title(self) -> str:
        """`asr wer[whisper-normalizer@20250625]/wer: margin 0.5`."""
        where = f" by {self.by}" if self.by else ""
        return f"{self.task} {self.metric}".strip() + f"{where}: {self.kind.replace('_', ' ')} {self.limit:g}"


def load_rules(path: Path) -> list[Rule]:
    """Read and check a rules file. Raises `BadInput` that names the wrong rule."""
    if not path.is_file():
        raise BadInput(f"{path}: no such rules file.", "Write one: speech-eval gate calibrate RUN RUN --rules FILE.")
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not YAML ({error}).", "Correct the YAML syntax.") from error
    if not isinstance(data, list) or not data:
        raise BadInput(f"{path}: not a list of rules, or an empty one.", "Start each rule with '- '.")
    rules = []
    for number, item in enumerate(data, 1):
        try:
            rules.append(Rule.model_validate(item))
        except ValidationError as error:
            raise BadInput(
                f"{path}: rule {number}: {error.errors()[0]['msg']}.",
                "Correct that rule; docs/gate.md lists what a rule may say.",
            ) from error
    return rules
