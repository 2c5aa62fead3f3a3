"""What a task is, and the tasks by name: registered by modules, plug-ins and installed packages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from importlib.metadata import entry_points
from types import ModuleType

from speech_eval.adapters.base import INTERFACES
from speech_eval.engine.generate.answer import Answer
from speech_eval.engine.generate.strategy import Strategy
from speech_eval.errors import BadInput, UnknownName, clipped, nearest
from speech_eval.records import Ask, SweepPoint
from speech_eval.registry import Registry
from speech_eval.signal.conditions import CLEAN, Condition


@dataclass(frozen=True)
class Variant:
    """What a task asks of one adapter interface.

    `dataset` is the name or path of a dataset, `metrics` are metric ids, and `primary` is the number that a board sorts
    by: `metric id`, or `metric id/summary name`.
    """

    dataset: str
    metrics: tuple[str, ...]
    primary: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """A benchmark task. Register a function that returns one with `@register_task`.

    A task of one interface states `interface`, `dataset`, `metrics` and `primary` (see `Variant`); a task of several
    states `variants`, interface to `Variant`, and runs the first one that a model has.

    protocol    the id of the procedure as a whole, such as `seed-tts-eval@2024-06`
    generate    how a model is asked: `Answer()`, `Timed()`, `DepthSweep()`, or a strategy of your own
    recognizer  model spec of the recognizer that transcribes speech outputs for text metrics
    optional    metrics that a run does without, and says so, where what they need is not installed
    by_language the task for data in given languages, where metrics or the primary number depend on them
    axes        name to metric ids, where each axis is reported separately. Such a task is not ranked: `primary` only
                sorts samples, and models are ordered by the first number of the first metric
    timeout     seconds that a model may take for one sample, unless the user says otherwise
    ask         set by the engine on the task asked as text or by a transcript (see `asked`)
    point       set by the engine on the task at one point of its sweep (see `at`)
    condition   set by the engine on the task whose recordings are changed before the model gets them (see `under`)
    """

    name: str
    version: int
    protocol: str
    description: str
    interface: str = ""
    dataset: str = ""
    metrics: tuple[str, ...] = ()
    primary: str = ""
    variants: Mapping[str, Variant] = field(default_factory=dict)
    generate: Strategy = field(default_factory=Answer)
    recognizer: str | None = None
    optional: frozenset[str] = frozenset()
    by_language: Callable[[Task, Collection[str]], Task] | None = None
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    timeout: float = 600.0
    ask: Ask = "speech"
    point: SweepPoint | None = None
    condition: Condition = CLEAN

    def __post_init__(self) -> None:
        if self.interface:
            only = Variant(self.dataset, self.metrics, self.primary)
            object.__setattr__(self, "variants", {self.interface: only})
        if unknown := [name for name in self.interfaces if name not in INTERFACES] or not self.interfaces:
            raise BadInput(f"Task '{self.name}' names no known interface: {unknown}.", f"Use {', '.join(INTERFACES)}.")
        for variant in self.variants.values():
            if variant.primary.split("/")[0] not in variant.metrics:
                raise BadInput(
                    f"Task '{self.name}': primary '{variant.primary}' is not among its metrics.", "Add it to metrics."
                )

    @property
    def interfaces(self) -> tuple[str, ...]:
        return tuple(self.variants)

    @property
    def ranked(self) -> bool:
        """Whether one number may order models."""
        return not self.axes

    def interface_for(self, offered: Sequence[str]) -> str | None:
        """The interface this task would use of those a model offers; None where it cannot run it."""
        return next((name for name in self.interfaces if name in offered), None)

    def for_languages(self, languages: Collection[str]) -> Task:
        """This task as it scores data in these languages: BCP 47 tags, of which `und` (no text) does not count."""
        known = {tag for tag in languages if tag != "und"}
        return self if self.by_language is None else self.by_language(self, known)

    @property
    def base(self) -> str:
        """The name of the task however and under whatever condition it is asked, from which the seeds of samples
        follow."""
        whole = self.name.removesuffix(f"@{self.condition}")
        return whole.removesuffix(f"@{self.ask}")

    def asked(self, how: Ask) -> Task:
        """This task asked in another way than as speech, under a name of its own: `voicebench-mmsu@text`."""
        return self if how == "speech" else replace(self, name=f"{self.name}@{how}", ask=how)

    def at(self, value: int) -> Task:
        """This task at one point of its sweep, under a name of its own: `codec-depth@depth=4`."""
        axis = self.generate.axis
        point = SweepPoint(task=self.name, axis=axis, value=value)
        return replace(self, name=f"{self.name}@{axis}={value}", point=point)

    def under(self, condition: Condition) -> Task:
        """This task with its recordings under a condition, under a name of its own: `asr@babble=10`."""
        if condition == CLEAN:
            return self
        point = SweepPoint(task=self.name, axis=condition.axis, value=condition.value)
        return replace(self, name=f"{self.name}@{condition}", point=point, condition=condition)


# ------------------------------------------------------------------------------------------------ by name

TaskFactory = Callable[[], Task]


class _Tasks(Registry[TaskFactory]):
    """Entry points of the group name a module, whose import registers its tasks, or one `module:function`."""

    listed = "speech-eval list tasks"

    def _discover(self) -> None:
        for point in entry_points(group=self.group):
            try:
                found = point.load()
            except Exception as error:
                raise BadInput(
                    f"The tasks of the installed package behind '{point.value}' cannot be imported "
                    f"({type(error).__name__}: {error}).",
                    "Update or uninstall the package.",
                ) from error
            if not isinstance(found, ModuleType):
                register_task(found)


TASKS = _Tasks("task", "speech_eval.tasks", {})
GROUPS: dict[str, tuple[str, ...]] = {}


def register_task(function: TaskFactory) -> TaskFactory:
    """Decorator for a function that returns a `Task`; it registers under the task's own name."""
    TASKS.add(function().name, function, function)
    return function


def register_group(name: str, tasks: Sequence[str]) -> None:
    """Give several tasks one name, for `--tasks`. Raises `BadInput` where the name means something else already."""
    if GROUPS.setdefault(name, tuple(tasks)) != tuple(tasks) or name in TASKS.known:
        raise BadInput(f"The name '{name}' of a group of tasks is already taken.", "Choose another name.")


def named(patterns: Sequence[str]) -> list[str]:
    """Task names for names, groups and globs (`asr*`), in their order, each once.

    Raises `UnknownName` with the nearest names for a pattern that means none.
    """
    every, found = TASKS.names(), dict[str, None]()
    for pattern in patterns:
        if pattern in every:
            matches: Sequence[str] = (pattern,)
        else:
            matches = GROUPS.get(pattern) or [name for name in every if fnmatchcase(name, pattern)]
        if not matches:
            raise UnknownName(
                f"No task is named '{clipped(pattern)}'.", nearest(pattern, [*every, *GROUPS], TASKS.listed)
            )
        found |= dict.fromkeys(matches)
    return list(found)
