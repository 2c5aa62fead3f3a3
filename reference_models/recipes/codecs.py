"""The codec that a model speaks through: the recipe's, which may have to be trained first, kept beside the model."""

from __future__ import annotations

from pathlib import Path

from speech_eval.cache import make_folder, write_atomically
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say
from speech_eval.reference_models.data.corpus import Corpus
from speech_eval.reference_models.recipes import stacks
from speech_eval.reference_models.recipes.schema import ResolvedRecipe
from speech_eval.reference_models.training.checkpoint import DESCRIPTION, WEIGHTS

CODEC = "codec"  # its folder in a checkpoint


def codec_of(recipe: ResolvedRecipe, data: Corpus, output: Path, progress: Progress, say: Say) -> str:
    """The spec of the recipe's codec, which is trained into the checkpoint's folder first if the recipe names one."""
    if recipe.codec is None:
        raise BadInput(f"{recipe.name} names no codec.", "Add `codec` with a `recipe` and `size`, or with a `spec`.")
    if recipe.codec.spec is not None:
        return recipe.codec.spec
    stacks.train_unless_finished(recipe.codec.resolve(), data, output / CODEC, progress=progress, say=say)
    return str(output / CODEC)


def bundled(spec: str, output: Path) -> str:
    """Copy a trained codec into the checkpoint, which then needs nothing else; any other codec stays a spec."""
    target, comma, options = spec.partition(",")
    if not (Path(target) / DESCRIPTION).is_file():
        return spec
    if Path(target).resolve() != (output / CODEC).resolve():
        make_folder(output / CODEC)
        for file in (DESCRIPTION, WEIGHTS, "README.md"):
            if (Path(target) / file).is_file():
                write_atomically(output / CODEC / file, (Path(target) / file).read_bytes())
    return f"{CODEC}{comma}{options}"
