"""A recipe from data to verdict: prepare, train, evaluate through the harness, compare with the recorded numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speech_eval.adapters.spec import ModelSpec
from speech_eval.engine import session as runner
from speech_eval.engine.task import TASKS
from speech_eval.errors import BadInput
from speech_eval.metrics.catalog import METRICS
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.records import Results
from speech_eval.reference_models.data.corpus import Data, open_corpus
from speech_eval.reference_models.data.prepare import prepare
from speech_eval.reference_models.recipes.schema import ResolvedRecipe, load
from speech_eval.reference_models.recipes.stacks import stack_of, stacks, train_unless_finished


@dataclass(frozen=True)
class Judged:
    """A number beside the recorded one; `ok` if it is within the tolerance, None if nothing was recorded."""

    metric: str
    found: float | None
    expected: float | None
    tolerance: float | None
    ok: bool | None


@dataclass(frozen=True)
class Reproduction:
    """What `reproduce` did. `exit_code`: 0 as recorded, 1 not, 2 nothing is recorded for the size."""

    recipe: str
    size: str
    checkpoint: str
    run: str
    card: dict[str, Any]
    judged: list[Judged]

    @property
    def exit_code(self) -> int:
        verdicts = [item.ok for item in self.judged if item.ok is not None]
        return 2 if not verdicts else int(not all(verdicts))

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "exit_code": self.exit_code}


def train(
    name: str,
    size: str,
    output: Path,
    *,
    data: str | Path | None = None,
    language: str | None = None,
    resume: bool = False,
    overfit: bool = False,
    progress: Progress = silent,
    say: Say = unsaid,
    **options: Any,
) -> dict[str, Any]:
    """Train a recipe at a size into the checkpoint directory `output`; returns the card.

    `data` is a folder, a list or a dataset's name; without it, a folder is prepared as the recipe says. `language` is
    that of samples that state none, `options` are those that the recipe's stack declares.
    """
    recipe = load(name, size)
    recipe.check()
    stack = stack_of(recipe.name)
    known = {option.name for option in stack.options}
    for option in sorted(options.keys() - known):
        owners = [other.name for other in stacks().values() if option in {item.name for item in other.options}]
        raise BadInput(
            f"--{option} is an option of the stack {' and '.join(owners) or 'none'}, not of {stack.name}.",
            "Leave it out.",
        )
    if data is None:
        folder: Data = _data(recipe, output, progress)
    else:
        folder = Path(data) if Path(data).exists() else data
    if language is not None:
        from speech_eval.reference_models.training.distributed import first_says

        policy = recipe.training.get("on_bad_data", "skip")
        folder = open_corpus(folder, output, language=language, on_bad=policy, progress=progress, say=first_says(say))
    return stack.train(recipe, folder, output, resume=resume, overfit=overfit, progress=progress, say=say, **options)


def reproduce(name: str, size: str, output: Path, *, progress: Progress = silent, say: Say = unsaid) -> Reproduction:
    """Prepare, train, evaluate and judge into `output`: `data`, `checkpoint` and `run` below it. Every stage continues
    where an earlier call was stopped. The task and its metrics are looked up before anything is computed."""
    recipe = load(name, size)
    recipe.check()
    TASKS.get(recipe.evaluation.task)
    for metric in recipe.evaluation.metrics:
        METRICS.get(metric)
    checkpoint, run = output / "checkpoint", output / "run"
    folder = _data(recipe, output, progress)
    card = train_unless_finished(recipe, folder, checkpoint, progress=progress, say=say)
    results = evaluate(recipe, checkpoint, folder, run, progress, say)
    return Reproduction(name, size, str(checkpoint), str(run), card, judge(recipe, results))


def evaluate(
    recipe: ResolvedRecipe, checkpoint: Path, data: Path, output: Path, progress: Progress, say: Say
) -> Results:
    """Run the recipe's task on its split of the prepared data, as any model is run."""
    wanted = recipe.evaluation
    settings = runner.Settings(
        data=None if wanted.split is None else str(data / f"{wanted.split}.jsonl"),
        limit=wanted.limit,
        metrics=wanted.metrics,
        seed=int(recipe.training.get("seed", 0)),
    )
    named = ",".join([str(checkpoint), *(f"{key}={value}" for key, value in wanted.options.items())])
    spec = ModelSpec(text=named, target=str(checkpoint), options=dict(wanted.options))
    return runner.run(spec, [wanted.task], output, settings, progress, say)


def judge(recipe: ResolvedRecipe, results: Results) -> list[Judged]:
    """Every number of the evaluation beside the recorded one. A recorded number that is missing counts as wrong."""
    found = {f"{number.metric}/{number.name}": number.strict.value for task in results.tasks for number in task.metrics}
    recorded = recipe.expected.metrics if recipe.expected else {}
    judged = []
    for metric in dict.fromkeys([*recorded, *found]):
        value, expected = found.get(metric), recorded.get(metric)
        if expected is None:
            judged.append(Judged(metric, value, None, None, None))
        else:
            ok = value is not None and abs(value - expected.value) <= expected.tolerance
            judged.append(Judged(metric, value, expected.value, expected.tolerance, ok))
    return judged


def _data(recipe: ResolvedRecipe, output: Path, progress: Progress) -> Path:
    if recipe.data.own:
        raise BadInput(
            f"{recipe.name}, size {recipe.size}, is made for data of your own, thousands of hours.",
            "Give a folder, a list or a dataset's name to `speech-eval train`: --data.",
        )
    folder = output / "data"
    prepare(folder, progress=progress, **recipe.data.given())
    return folder
