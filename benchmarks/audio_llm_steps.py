"""What a step of an audio LLM's training costs on one CPU core: Whisper base, SmolLM2-135M, 48 sentences of hibari.

    python benchmarks/audio_llm_steps.py [--rounds 3] [--batch 8]

stage    the recipe `listen`'s two stages from the shipped model, each in a process of its own: utterances and tokens
         per second, the share of the processor's arithmetic that is used (MFU) and the largest memory
trainer  a step through the LLM beside transformers' Trainer: same model, same batch, same optimizer; both sides are
         timed in every round, and the ratio is taken within the round
padding  the share of the LLM's positions that a batch fills: what packing could save at most

Times are of the processor, so that a busy machine does not count.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from speech_eval.progress import unsaid
from speech_eval.reference_models.audio_llm.config import AudioLLMConfig
from speech_eval.reference_models.audio_llm.features import FeatureStore, build_features
from speech_eval.reference_models.audio_llm.model import Example
from speech_eval.reference_models.audio_llm.objectives import next_token
from speech_eval.reference_models.audio_llm.train import AudioTrainer
from speech_eval.reference_models.audio_llm.training_config import AudioTrainingConfig
from speech_eval.reference_models.data.corpus import open_corpus
from speech_eval.reference_models.data.prepare import prepare
from speech_eval.reference_models.recipes.schema import load
from speech_eval.reference_models.training.checkpoint import find_checkpoint
from speech_eval.reference_models.tts.train import peak_flops

STEPS = 2  # a round
STAGES = ("align", "sft")


def seconds(work: Callable[[], Any]) -> float:
    begun = process_time()
    work()
    return process_time() - begun


def report(what: str, **numbers: Any) -> None:
    print(json.dumps({"what": what, **numbers}), flush=True)


def trainer_of(stage: str, task: str, store: FeatureStore, batch: int, folder: Path) -> AudioTrainer:
    """The recipe's trainer of one stage and one task, from the shipped model, which `listen` made."""
    recipe = load("audio_llm/listen", "cpu")
    values = dict(recipe.training)
    changed = values["stages"][stage] | {"utterances": "all", "mixture": {task: 1}, "batch_size": batch}
    changed |= {"frame_steps": 0, "word_times": 0}
    training = AudioTrainingConfig.model_validate(values | {"stages": {stage: changed}})
    config = AudioLLMConfig.model_validate(recipe.model)
    start = find_checkpoint("listen-135m", "--init")
    return AudioTrainer(config, training, store, folder, "steps", False, start, None, False, unsaid)


def tokens_of(trainer: AudioTrainer, batch: Sequence[int], task: str) -> tuple[int, int]:
    """Positions of a batch that hold something, and all of them: frames of the encoder without the LLM."""
    spoken = [trainer.train_set[i] for i in batch]
    if task == "ctc":
        lengths = [len(one.features) for one in spoken]
        return sum(lengths), max(lengths) * len(lengths)
    mask = trainer.model.rows([trainer.tasks.transcription(one) for one in spoken]).mask
    return int(mask.sum()), mask.numel()


def stage(name: str, store: FeatureStore, rounds: int, batch: int, folder: Path) -> None:
    """Cost of the steps of one stage."""
    task = "ctc" if name == "align" else "transcribe"
    trainer = trainer_of(name, task, store, batch, folder)
    (some,) = trainer.batches(0, 1)
    with FlopCounterMode(display=False) as counter:
        trainer.step(0, some)
    cost = median(seconds(lambda: trainer.step(0, some)) for _ in range(rounds * STEPS))
    filled, _ = tokens_of(trainer, some, task)
    report(
        "stage",
        name=name,
        task=task,
        batch=batch,
        seconds_per_step=round(cost, 3),
        utterances_per_second=round(batch / cost, 1),
        tokens_per_second=round(filled / cost),
        mfu=round(counter.get_total_flops() / cost / peak_flops(torch.device("cpu"), torch.float32), 3),
        largest_memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    )


class Wrapped(torch.nn.Module):
    """The model as transformers' Trainer wants it."""

    def __init__(self, ours: AudioTrainer) -> None:
        super().__init__()
        self.model = ours.model

    def forward(self, examples: list[Example]) -> dict[str, torch.Tensor]:
        return {"loss": next_token(self.model, examples)["loss"]}


def beside_transformers(store: FeatureStore, rounds: int, batch: int, folder: Path) -> None:
    """Our step over theirs."""
    ours = trainer_of("sft", "transcribe", store, batch, folder / "ours")
    (some,) = ours.batches(0, 1)
    examples = [ours.tasks.transcription(ours.train_set[i]) for i in some]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "theirs"),
        max_steps=STEPS,
        per_device_train_batch_size=batch,
        learning_rate=2e-4,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
    )
    theirs = transformers.Trainer(
        model=Wrapped(ours),
        args=arguments,
        train_dataset=examples * STEPS,
        data_collator=lambda rows: {"examples": rows},
    )
    ours.step(0, some)
    theirs.train()
    rows = [
        (seconds(lambda: [ours.step(0, some) for _ in range(STEPS)]) / STEPS, seconds(theirs.train) / STEPS)
        for _ in range(rounds)
    ]
    report(
        "trainer",
        ours_s=round(median(a for a, _ in rows), 3),
        transformers_s=round(median(b for _, b in rows), 3),
        ratio=round(median(a / b for a, b in rows), 3),
    )


def padding(store: FeatureStore, batch: int, folder: Path) -> None:
    """How full the batches of the stage through the LLM are."""
    trainer = trainer_of("sft", "transcribe", store, batch, folder)
    batches = [trainer.picked[n] for n in range(trainer.picked.per_epoch)]
    with torch.no_grad():
        found = [tokens_of(trainer, [trainer.indices[i] for i in one], "transcribe") for one in batches]
    report("padding", batches=len(found), filled=round(sum(a for a, _ in found) / sum(b for _, b in found), 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--features", help="a store that was built before, of one stage's process")
    parser.add_argument("--stage", choices=STAGES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.stage:
            return stage(given.stage, FeatureStore.open(given.features), given.rounds, given.batch, folder / "run")
        prepare(folder / "data", ("hibari-natural",), limit=48)
        store = build_features(open_corpus(folder / "data", folder / "checked"), "whisper-base", folder / "features")
        options = ["--features", str(store.folder), "--rounds", str(given.rounds), "--batch", str(given.batch)]
        for one in STAGES:
            subprocess.run([sys.executable, __file__, "--stage", one, *options], check=True)
        beside_transformers(store, given.rounds, given.batch, folder)
        padding(store, given.batch, folder / "padding")


if __name__ == "__main__":
    main()
