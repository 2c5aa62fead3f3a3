"""A recipe from data to verdict: prepare, train, evaluate through the harness, hold against what was recorded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speech_eval.adapters.spec import ModelSpec
from speech_eval.engine import session as runner
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.records import Results
from speech_eval.reference_models.data.prepare import prepare
from speech_eval.reference_models.recipes.schema import Size, load
from speech_eval.reference_models.training.state import FILE, read_facts
from speech_eval.registry import load_attr

# train(size, data, output, resume=, overfit=, progress=, say=) -> card, of each stack.
TRAINERS = {
    "codec": "speech_eval.reference_models.codec.train:train_recipe",
    "tts": "speech_eval.reference_models.tts.train:train_recipe",
    "tts/grpo": "speech_eval.reference_models.speech_lm.rl.train:train_recipe",
    "tts/dpo": "speech_eval.reference_models.speech_lm.rl.train:train_recipe",
}


@dataclass(frozen=True)
class Judged:
    """A number beside what was recorded; `ok` where it lies within the tolerance, None where nothing was recorded."""

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
    data: Path | None = None,
    resume: bool = False,
    overfit: bool = False,
    codec: str | None = None,
    force: bool = False,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """Train a recipe at a size into the checkpoint directory `output`, on the AudioFolder `data` or on one prepared as
    the recipe says; returns the card. `codec` and `force` are those of
    `speech_eval.reference_models.tts.train.train_recipe`."""
    recipe = load(name, size)
    trainer = _trainer(recipe)
    own = {key: value for key, value in (("codec", codec), ("force", force)) if value}
    if own and recipe.stack != "tts":
        raise BadInput(f"--{next(iter(own))} belongs to the recipes of the stack tts, not to {name}.", "Leave it out.")
    folder = _data(recipe, output, progress) if data is None else data
    card: dict[str, Any] = load_attr(trainer)(
        recipe, folder, output, resume=resume, overfit=overfit, progress=progress, say=say, **own
    )
    return card


def reproduce(name: str, size: str, output: Path, *, progress: Progress = silent, say: Say = unsaid) -> Reproduction:
    """Prepare, train, evaluate and judge into `output`: `data`, `checkpoint` and `run` below it. Every stage goes on
    where an earlier call was stopped."""
    recipe = load(name, size)
    trainer = _trainer(recipe)
    checkpoint, run = output / "checkpoint", output / "run"
    folder = _data(recipe, output, progress)
    started = (checkpoint / FILE).is_file()
    if started and read_facts(checkpoint).get("finished"):
        say(f"{checkpoint} is trained already")
        from speech_eval.reference_models.training.checkpoint import load_checkpoint

        card = load_checkpoint(checkpoint, recipe.stack)[2]
    else:
        card = load_attr(trainer)(recipe, folder, checkpoint, resume=started, overfit=False, progress=progress, say=say)
    results = evaluate(recipe, checkpoint, folder, run, progress, say)
    return Reproduction(name, size, str(checkpoint), str(run), card, judge(recipe, results))


def evaluate(recipe: Size, checkpoint: Path, data: Path, output: Path, progress: Progress, say: Say) -> Results:
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


def judge(recipe: Size, results: Results) -> list[Judged]:
    """Every number of the evaluation, beside the recorded one. A recorded number that was not found counts as wrong."""
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


def _trainer(recipe: Size) -> str:
    stack, method = recipe.stack, recipe.training.get("method")
    name = stack if method is None else f"{stack}/{method}"
    if name not in TRAINERS:
        raise BadInput(f"'{recipe.name}': nothing trains '{name}'.", f"Known: {', '.join(TRAINERS)}.")
    return TRAINERS[name]


def _data(recipe: Size, output: Path, progress: Progress) -> Path:
    folder = output / "data"
    prepare(folder, progress=progress, **recipe.data)
    return folder
