"""What a trained model was trained from, so that it is not taken for the model of another recipe or of other data.

OUTPUT/recipe.json    the recipe's name and size, every key that changes the model, and the digest of the data
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from speech_eval.cache import write_atomically
from speech_eval.errors import BadInput
from speech_eval.reference_models.data.corpus import Corpus
from speech_eval.reference_models.recipes.schema import ResolvedRecipe
from speech_eval.reference_models.recipes.show import keys
from speech_eval.reference_models.training.log import differences
from speech_eval.reference_models.training.state import FILE
from speech_eval.text.files import read_record

KEPT = "recipe.json"
_PARTS = ("codec.", "model.", "training.")


def check_kept(output: Path, recipe: ResolvedRecipe, corpus: Corpus) -> None:
    """Record what is trained into `output`, or compare it with what was. Raises `BadInput` naming what differs, and
    where a training is there without a record."""
    key, file = key_of(recipe, corpus), output / KEPT
    if (output / FILE).is_file():
        try:
            kept = read_record(file, "")
        except BadInput:
            raise BadInput(
                f"{output} holds a training without a readable {KEPT}, which would tell its recipe and data.",
                "Choose another --output.",
            ) from None
        if changed := differences(kept, key):
            raise BadInput(f"{output} was trained from something else: {changed}.", "Choose another --output.")
        return
    text = json.dumps(key, indent=2, sort_keys=True, ensure_ascii=False)
    write_atomically(file, (text + "\n").encode())


def key_of(recipe: ResolvedRecipe, corpus: Corpus) -> dict[str, Any]:
    """Every key that changes the model with its value, and the identity of the data, as plain data."""
    values = {key.path: key.value for key in keys(recipe) if key.path.startswith(_PARTS) and not key.resume_may_change}
    key = {"recipe": recipe.name, "size": recipe.size, "data": corpus.identity(), **values}
    return dict(json.loads(json.dumps(key)))
