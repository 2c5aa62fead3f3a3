"""Training contextual text-to-speech: the training of a speech LM, with conversations for documents."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.conversation.context.config import ContextConfig
from speech_eval.reference_models.conversation.context.turns import conversations, cut_turns, fitting, joined
from speech_eval.reference_models.data.corpus import Data, open_corpus
from speech_eval.reference_models.data.packing import Source
from speech_eval.reference_models.data.token_shards import Shards
from speech_eval.reference_models.recipes.codecs import codec_of
from speech_eval.reference_models.recipes.schema import ResolvedRecipe
from speech_eval.reference_models.speech_lm.sequence import CodecSection
from speech_eval.reference_models.speech_lm.tokenizer import FrameTokenizer
from speech_eval.reference_models.training.distributed import first_says
from speech_eval.reference_models.training.loop import goes_on
from speech_eval.reference_models.tts.train import TTSTrainer, train
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig

TURNS = "turns"  # folder of a checkpoint


class ContextTrainer(TTSTrainer):
    """A document is a conversation, or as much of it as fits."""

    def sources(self, shards: Shards) -> list[Source]:
        tokenizer = self.model.tokenizer
        assert isinstance(tokenizer, FrameTokenizer)
        found = []
        for turns in conversations(shards):
            for part in fitting(tokenizer, turns, self.training.sequence):
                make = partial(joined, tokenizer, part)
                # Named after its first turn, whose sound is what the check before the training recognizes.
                found.append(Source(part[0].document.id, len(make()[0]), make, ends=len(part)))
        return found


def train_recipe(
    recipe: ResolvedRecipe,
    data: Data,
    output: Path,
    *,
    resume: bool = False,
    overfit: bool = False,
    codec: str | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """From two-channel recordings to a checkpoint: the codec of the recipe (or `codec`, a model spec), turns, training.
    Raises `BadInput` naming a key that cannot be used, and as `tts.train.train` does."""
    resume = goes_on(output, resume)
    say = first_says(say)
    training = recipe.read(TTSTrainingConfig, recipe.training)
    config = recipe.read(ContextConfig, {**recipe.model, "codec": {"spec": codec or "codec"}}).speech_lm()
    corpus = open_corpus(data, output, on_bad=training.on_bad_data, progress=progress, say=say)
    spec = codec or codec_of(recipe, corpus, output, progress, say)
    config = config.model_copy(update={"codec": CodecSection(spec=spec)})
    turns = cut_turns(corpus, output / TURNS, training.on_bad_data, say)
    options: dict[str, Any] = {"resume": resume, "overfit": overfit, "progress": progress, "say": say}
    return train(config, training, turns, output, name=recipe.name, trainer=ContextTrainer, **options)
