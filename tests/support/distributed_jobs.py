"""Small trainings for one process or several: `torchrun … -m support.distributed_jobs JOBS.json` runs those of a file.

A job is `{"kind": …, "config": …, "training": …, "data": …, "output": …}` of plain data.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from speech_eval.errors import BadInput
from speech_eval.reference_models.codec.config import CodecConfig
from speech_eval.reference_models.codec.train import train as train_codec
from speech_eval.reference_models.codec.training_config import TrainingConfig
from speech_eval.reference_models.recipes.schema import ResolvedRecipe
from speech_eval.reference_models.training.distributed import accelerator, alone
from speech_eval.reference_models.tts.align import train_recipe
from speech_eval.reference_models.tts.config import TTSConfig
from speech_eval.reference_models.tts.train import TTSTrainer, finish
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig

Job = dict[str, Any]


def run(job: Job) -> None:
    """Train as the job says."""
    data, output, training = Path(job["data"]), Path(job["output"]), job["training"]
    if job["kind"] == "codec":
        train_codec(CodecConfig.model_validate(job["config"]), TrainingConfig.model_validate(training), data, output)
    elif job["kind"] == "tts":
        config, wanted = TTSConfig.model_validate(job["config"]), TTSTrainingConfig.model_validate(training)
        finish(TTSTrainer(config, wanted, data, output, name="tts", overfit=False, say=lambda message: None))
    elif job["kind"] == "align":
        recipe = {"name": "tts/toy", "size": "smoke", "training": training, "evaluation": {"task": "seed-tts"}}
        train_recipe(ResolvedRecipe.model_validate(recipe), data, output)
    elif job["kind"] == "failure":
        fail_alone(output)
    else:
        raise ValueError(job["kind"])


def fail_alone(output: Path) -> None:
    """Let the first process fail in what it does alone, and note how each process hears of it."""
    mine = accelerator()

    def garbage() -> None:
        raise BadInput("The packed speech is garbage.", "Listen to it.")

    output.mkdir(parents=True, exist_ok=True)
    try:
        alone(mine, garbage)
    except (BadInput, SystemExit) as error:
        (output / f"{mine.process_index}.txt").write_text(type(error).__name__)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for waiting in json.loads(Path(sys.argv[1]).read_text()):
        run(waiting)
