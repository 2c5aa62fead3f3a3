"""Reference models by their recipes: train one, train and evaluate it as recorded, or keep its best answers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speech_eval.cache import write_atomically
from speech_eval.progress import Progress, Say, drawn
from speech_eval.registry import load_attr

if TYPE_CHECKING:
    from speech_eval.api.evaluate import PathLike_

logger = logging.getLogger(__name__)
_RECIPES = "speech_eval.reference_models.recipes"


def train(
    recipe: str,
    output: PathLike_,
    *,
    size: str = "smoke",
    data: PathLike_ | None = None,
    language: str | None = None,
    resume: bool = False,
    progress: bool | Progress = False,
    say: Say = logger.info,
    **options: Any,
) -> dict[str, Any]:
    """Train a reference model and return its card.

    recipe   name of a recipe, such as `codec/dac-16k`, or the path of a YAML file
    output   checkpoint directory; a checkpoint is a model spec for `evaluate`
    size     smoke, cpu, reference or scale
    data     speech to train on instead of the recipe's: a folder, a list, or the name of a dataset
    language that of samples that state none; without it their text tells it
    resume   continue from the state in `output`
    options  `overfit`, and those of the recipe's stack, by the names of the command's options
    say      called with each line worth reading; default: log it
    """
    with drawn(progress) as shown:
        card: dict[str, Any] = load_attr(f"{_RECIPES}.reproduce:train")(
            recipe, size, Path(output), data=data, language=language, resume=resume, progress=shown, say=say, **options
        )
    return card


def reproduce(
    recipe: str,
    *,
    size: str = "smoke",
    output: PathLike_ | None = None,
    progress: bool | Progress = False,
    say: Say = logger.info,
) -> Any:
    """Prepare, train and evaluate a recipe, and compare its numbers with the recorded ones.

    `output` is a folder, by default `reproduced/RECIPE-SIZE`. In the answer, `judged` has one item per recorded number,
    and `exit_code` is 0 as recorded, 1 not as recorded, 2 where nothing is recorded for this size.
    """
    folder = Path(output or Path("reproduced") / f"{recipe.replace('/', '-')}-{size}")
    with drawn(progress) as shown:
        return load_attr(f"{_RECIPES}.reproduce:reproduce")(recipe, size, folder, progress=shown, say=say)


def export(checkpoint: PathLike_, output: PathLike_, *, push_to_hub: str | None = None, say: Say = logger.info) -> Path:
    """Write a trained model for others into the new folder `output`, and return the folder.

    checkpoint   a directory that `train` wrote, or the name of a shipped checkpoint
    output       a speech LM becomes a directory of transformers with tokenizer and chat template, a codec safetensors
                 with a card; both are still model specs
    push_to_hub  also upload it to this repository, ORG/NAME, with the user's own login
    """
    written: Path = load_attr(f"{_RECIPES}.export:export")(
        str(checkpoint), Path(output), push_to_hub=push_to_hub, say=say
    )
    return written


def list_recipes() -> list[dict[str, Any]]:
    """One row per recipe of the installed stacks: its sizes, their recorded minutes, the extra, and what it trains."""
    rows: list[dict[str, Any]] = load_attr(f"{_RECIPES}.show:recipes")()
    return rows


def describe_recipe(recipe: str, *, size: str = "smoke") -> dict[str, Any]:
    """Every key of a recipe at one size: its value, default, type and meaning."""
    found: dict[str, Any] = load_attr(f"{_RECIPES}.show:describe")(recipe, size)
    return found


_BEST_OF = "speech_eval.reference_models.tts.best_of"


def best_of(
    model: str,
    data: PathLike_ = "sentences-en",
    *,
    candidates: int = 8,
    by: str = "wer",
    limit: int | None = None,
    seed: int = 0,
    picture: PathLike_ | None = None,
    progress: bool | Progress = False,
) -> Any:
    """What keeping the best of N candidates gives: one recognizer or speaker model chooses, another one judges.

    model       spec of a synthesizer whose output depends on the seed
    data        dataset whose texts are spoken
    candidates  candidates per text; the curve runs from 1 to this number
    by          what chooses: `wer`, `sim` (to the voice prompt) or `both`
    picture     SVG file to draw the curve into

    In the answer, `points` has one row per N with `cer` and, with voice prompts, `sim`; `left_out` says which texts are
    not among the `texts`, and why. Raises `BadInput` for a model that is not a synthesizer, and for a choice by voice
    where a text has no voice prompt.
    """
    chosen = load_attr("speech_eval.reference_models.speech_lm.rl.verifiers:choice_of")(by, "--by")
    with drawn(progress) as shown:
        found = load_attr(f"{_BEST_OF}:best_of")(
            model, str(data), candidates=candidates, by=chosen, limit=limit, seed=seed, progress=shown
        )
    if picture is not None:
        write_atomically(Path(picture), load_attr(f"{_BEST_OF}:picture")(found).encode())
    return found
