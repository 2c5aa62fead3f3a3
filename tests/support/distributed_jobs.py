"""Small trainings for one process or several: `torchrun … -m support.distributed_jobs JOBS.json` runs those of a file.

A job is `{"kind": …, "config": …, "training": …, "data": …, "output": …}` of plain data; of kind `tts`
it may `stop_at` a step and `resume`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from support.tts_fixture import CORE, DEPTH, shards_of, tiny_codec, voice

from speech_eval.errors import BadInput
from speech_eval.reference_models.codec.config import CodecConfig
from speech_eval.reference_models.codec.train import train as train_codec
from speech_eval.reference_models.codec.training_config import TrainingConfig
from speech_eval.reference_models.recipes.schema import ResolvedRecipe
from speech_eval.reference_models.speech_lm.sequence import CodecSection
from speech_eval.reference_models.training.distributed import accelerator, alone
from speech_eval.reference_models.tts.align import train_recipe
from speech_eval.reference_models.tts.config import TTSConfig
from speech_eval.reference_models.tts.train import TTSTrainer, finish
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig

Job = dict[str, Any]


def tts_job(layout: str, changes: dict[str, Any], batch: int, output: Path, share: float = 1.0) -> Job:
    folder, summary = shards_of(layout)
    shutil.copytree(folder, output / "shards")
    training = {
        "steps": 4,
        "batch_size": batch,
        "sequence": 768,
        "optimizer": {"learning_rate": 3e-3, "clip_norm": 1.0},
        "log_every": 1,
        "validate_every": 2,
        "save_every": 100,
    }
    config = {
        "layout": layout,
        "codec": CodecSection.model_validate(summary["codec"]).model_dump(mode="json"),
        "core": CORE | {"positions": 1024},
        "depth": DEPTH | {"share": share} if layout == "csm" else None,
    }
    tiny_codec(layout)
    return {
        "kind": "tts",
        "config": config,
        "training": training | changes,
        "data": str(voice()),
        "output": str(output),
    }


def rows(folder: Path) -> list[dict[str, Any]]:
    """What was logged, without what depends on the clock or jumps."""
    found = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for row in found:
        for timed in ("seconds", "tokens_per_second", "mfu"):
            row.pop(timed, None)
        row.get("losses", {}).pop("norm", 0.0)  # a gradient's norm jumps where a frame gets another code
    return found


def torchrun(jobs: list[Job], plan: Path) -> None:
    """Run jobs in two processes; they are written to the file `plan`."""
    plan.write_text(json.dumps(jobs))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "-m", "support.distributed_jobs", str(plan)], check=True, timeout=280, env=environment)


def run(job: Job) -> None:
    """Train as the job says."""
    data, output, training = Path(job["data"]), Path(job["output"]), job["training"]
    if job["kind"] == "codec":
        train_codec(CodecConfig.model_validate(job["config"]), TrainingConfig.model_validate(training), data, output)
    elif job["kind"] == "tts":
        config, wanted = TTSConfig.model_validate(job["config"]), TTSTrainingConfig.model_validate(training)
        trainer = TTSTrainer(config, wanted, data, output, name="tts", overfit=False, say=lambda message: None)
        trainer.loop.start(job.get("resume", False))
        finish(trainer, job.get("stop_at"))
        held = sum((p.to_local() if hasattr(p, "to_local") else p).numel() for p in trainer.model.parameters())
        (output / f"held-{trainer.accelerator.process_index}.json").write_text(json.dumps(held))
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
