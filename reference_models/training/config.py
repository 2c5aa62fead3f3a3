"""Configuration shared by every stack. A section is immutable, rejects misspelled keys, and states what each key means.

The meanings are what `speech-eval recipe show` and docs/recipes.md print, so they are written once, here.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

Policy = Literal["skip", "stop"]


class Section(BaseModel):
    """A part of a configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def knob(default: Any, meaning: str, *, resume_may_change: bool = False, filled_in: bool = False, **limits: Any) -> Any:
    """A key of a section: its default (`...` if a recipe must give it) and its meaning.

    `resume_may_change`: `--resume` accepts another value. `filled_in`: training fills it in, recipes leave it out.
    `limits` are those of `pydantic.Field`.
    """
    marks: dict[str, Any] = {"resume_may_change": resume_may_change, "filled_in": filled_in}
    return Field(default, description=meaning, json_schema_extra=marks, **limits)


def marked(field: FieldInfo, mark: Literal["resume_may_change", "filled_in"]) -> bool:
    """Whether a key was declared so."""
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get(mark))


class OptimizerConfig(Section):
    """AdamW and its learning rate: linear warm-up, then a schedule."""

    learning_rate: PositiveFloat = knob(1e-4, "Peak learning rate.")
    betas: tuple[float, float] = knob((0.8, 0.99), "AdamW's decay rates of the first and second moment.")
    weight_decay: float = knob(0.0, "AdamW's weight decay.")
    warmup_steps: NonNegativeInt = knob(0, "Steps over which the learning rate rises linearly from 0.")
    schedule: Literal["exponential", "cosine"] = knob(
        "exponential", "After warm-up: `exponential` multiplies by `gamma` per step, `cosine` falls to `final_share`."
    )
    gamma: float = knob(0.999996, "Factor per step of the exponential schedule.")
    final_share: float = knob(0.05, "Learning rate at the end of the cosine schedule, as a share of the peak.")
    clip_norm: PositiveFloat = knob(1000.0, "Largest norm of the gradient; a longer one is scaled down.")

    def rate_at(self, step: int, share: float) -> float:
        """The learning rate of step `step` (from 0), after `share` of the training."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        if self.schedule == "exponential":
            return self.learning_rate * warm * self.gamma ** max(0, step - self.warmup_steps)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
        return self.learning_rate * warm * (self.final_share + (1 - self.final_share) * cosine)


class RunConfig(Section):
    """How long a training runs, and how often it reports, validates and saves. Every stack's training extends this."""

    steps: PositiveInt = knob(..., "Steps of the whole training.")
    minutes: PositiveFloat | None = knob(
        None,
        "Ends the training after this many minutes if `steps` would take longer; the learning rate then follows the "
        "clock, and a resumed run is no longer identical bit for bit.",
        resume_may_change=True,
    )
    seed: int = knob(0, "Seed of the weights, of the order of the data and of every random draw.")
    on_nan: Policy = knob(
        "stop", "A step with a loss or gradient that is not finite: `stop`, or `skip` (up to 10 in a row)."
    )
    on_bad_data: Policy = knob(
        "skip",
        "A recording or text that cannot be used: `skip` it by name, or `stop`. All are checked at the start.",
        resume_may_change=True,
    )
    log_every: PositiveInt = knob(50, "Steps between two reports.", resume_may_change=True)
    validate_every: PositiveInt = knob(1000, "Steps between two validations.", resume_may_change=True)
    save_every: PositiveInt = knob(1000, "Steps between two saved states.", resume_may_change=True)
    tensorboard: bool = knob(False, "Also write TensorBoard curves (extra `tensorboard`).", resume_may_change=True)

    def identity(self) -> dict[str, Any]:
        """The values that a resumed run must share with the run it continues, as plain data."""
        free = {name for name, field in type(self).model_fields.items() if marked(field, "resume_may_change")}
        return self.model_dump(mode="json", exclude=free)


def first_problem(error: ValidationError, part: str = "") -> str:
    """The first problem of a failed validation of a `part`: `'training.steps': Input should be greater than 0`. For a
    key that does not exist, with the nearest one that does."""
    return in_words(error, error.errors()[0], part)


def in_words(error: ValidationError, first: ErrorDetails, part: str = "") -> str:
    """One of the problems of a failed validation of a `part`, as `first_problem` words it."""
    message = first["msg"].replace("valid tuple", "list")
    if first["type"] == "extra_forbidden":
        *path, key = map(str, first["loc"])
        near = difflib.get_close_matches(key, _keys_at(error.title, path), n=1)
        message += f" (did you mean '{near[0]}'?)" if near else ""
    return f"'{'.'.join(str(step) for step in (*filter(None, [part]), *first['loc']))}': {message}"


def sections_in(annotation: Any) -> list[type[Section]]:
    """The sections that occur in a type."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for inner in get_args(annotation) for section in sections_in(inner)]


def _keys_at(name: str, path: Sequence[str]) -> set[str]:
    """The keys at a path below the section class of a name. Parts that are not keys, such as an index, are skipped."""
    here = [section for section in _extensions(Section) if section.__name__ == name]
    for part in path:
        fields = [section.model_fields[part] for section in here if part in section.model_fields]
        here = [inner for field in fields for inner in sections_in(field.annotation)] if fields else here
    return {key for section in here for key in section.model_fields}


def _extensions(section: type[Section]) -> list[type[Section]]:
    return [other for direct in section.__subclasses__() for other in (direct, *_extensions(direct))]
