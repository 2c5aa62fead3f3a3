"""What training a speech LM costs on one CPU core.

    python benchmarks/tts.py [train|packing|depth] [--rounds 5]

train    a step of our loop beside transformers' Trainer: same Llama, same packed batches, same optimizer
packing  the share of positions that hold something: packed, and padded to the longest of a batch, as sequences grow
depth    forward and backward of CSM with the depth decoder on all frames and on a sixteenth, as codebooks are added

Both sides of a pair are timed one after the other in every round, and the ratio is taken within the round. Times are of
the processor, so that a busy machine does not count. Codes are random: cost does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
import transformers

from speech_eval.reference_models.codec.config import CodecConfig
from speech_eval.reference_models.codec.model import Codec
from speech_eval.reference_models.data.packing import Packed, Source, pack
from speech_eval.reference_models.data.prepare import prepare
from speech_eval.reference_models.data.token_shards import write_shards
from speech_eval.reference_models.speech_lm.tokenizer import IGNORE
from speech_eval.reference_models.training.checkpoint import save_checkpoint
from speech_eval.reference_models.tts.building import build
from speech_eval.reference_models.tts.config import TTSConfig
from speech_eval.reference_models.tts.train import TTSTrainer, peak_flops
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig

CORE = {"type": "llama", "width": 256, "layers": 6, "heads": 4, "feed_forward": 704, "positions": 2048}
RATE = 50.0
STEPS = 3  # a round of training


def seconds(work: Callable[[], Any]) -> float:
    begun = process_time()
    work()
    return process_time() - begun


def config(layout: str, books: int = 1, size: int = 1000, **more: Any) -> TTSConfig:
    codec = {"spec": "none", "codebook_sizes": [size] * books, "frame_rates": [RATE] * books}
    return TTSConfig.model_validate({"layout": layout, "codec": codec, "core": CORE, **more})


def sources(model: Any, count: int) -> list[Source]:
    """Utterances of 2 to 12 s with sixteen characters per second, as in sentences."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(1.4, 0.4, count), 2, 12)
    books = model.config.codec.codebook_sizes

    def make(index: int) -> Any:
        draw, length = np.random.default_rng(index), lengths[index]
        codes = [draw.integers(0, size, int(length * RATE)) for size in books]
        return model.tokenizer.example("x" * int(16 * length), codes)

    return [Source(str(i), len(make(i)[0]), partial(make, i)) for i in range(count)]


def train(rounds: int) -> None:
    """Seconds per step, tokens per second and MFU."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        codec = CodecConfig.model_validate(
            {
                "latent_dim": 16,
                "encoder": {"type": "stft", "channels": 16, "blocks": 1},
                "decoder": {"type": "vocos", "channels": 16, "blocks": 1},
                "quantizer": {"type": "fsq", "levels": [8, 5, 5, 5]},
            }
        )
        save_checkpoint(folder / "codec", "codec", codec.model_dump(mode="json"), Codec(codec).state_dict(), {})
        prepare(folder / "data", ("hibari-generated",), limit=40)
        summary = write_shards(folder / "data", str(folder / "codec"), folder / "out" / "shards")
        settings = TTSConfig.model_validate({"codec": summary["codec"], "core": CORE})
        training = TTSTrainingConfig(steps=1000, batch_size=2, sequence=1024)
        ours = TTSTrainer(settings, training, folder / "data", folder / "out", name="ours", overfit=False, say=print)
        theirs = _transformers_trainer(ours, folder / "theirs")
        rows: list[tuple[float, float]] = []
        ours.step(0, [ours.batches[0]])
        theirs.train()
        for number in range(rounds):
            rows.append((seconds(partial(steps, ours, number)) / STEPS, seconds(theirs.train) / STEPS))
        batch = ours.batches[0]
        flops = ours.model.flops(batch.filled, ours.model.counts(batch.labels))
        mine = median(a for a, _ in rows)
        report(
            "train",
            parameters_m=round(sum(p.numel() for p in ours.model.parameters()) / 1e6, 2),
            ours_s=round(mine, 3),
            transformers_s=round(median(b for _, b in rows), 3),
            ratio=round(median(a / b for a, b in rows), 3),
            tokens_per_second=round(batch.filled / mine),
            mfu=round(flops / mine / peak_flops(torch.device("cpu"), torch.float32), 3),
        )


def steps(trainer: TTSTrainer, first: int) -> None:
    for number in range(STEPS):
        trainer.step(first + number, [trainer.batches[0]])


def _transformers_trainer(ours: TTSTrainer, folder: Path) -> Any:
    """A trainer of as many steps on the batch that ours begins with."""
    batch = ours.batches[0]
    labels = torch.full_like(batch.labels, IGNORE)
    labels[:, 1:] = batch.labels[:, :-1]  # transformers shifts by itself
    rows = [
        {"input_ids": i, "labels": n, "position_ids": p}
        for i, n, p in zip(batch.ids, labels, batch.positions, strict=True)
    ]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=len(rows),
        learning_rate=5e-5,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    model = build(ours.model.config).core
    return transformers.Trainer(model=model, args=arguments, train_dataset=rows * STEPS)


def packing(rounds: int) -> None:
    """Efficiency as sequences grow, and what filling to the longest of a batch of eight would waste."""
    model = build(config("flat"))
    documents = sources(model, 2000)
    lengths = [source.length for source in documents]
    batches = [lengths[i : i + 8] for i in range(0, len(lengths), 8)]
    padded = sum(lengths) / sum(max(batch) * len(batch) for batch in batches)
    for sequence in (1024, 2048, 8192):
        packed = Packed(model.tokenizer, documents, sequence, batch_size=1, seed=0)
        cost = median(seconds(partial(pack, packed.sources, sequence)) for _ in range(rounds))
        report(
            "packing",
            sequence=sequence,
            packed=round(packed.efficiency(), 4),
            padded=round(padded, 4),
            plan_ms_per_1000=round(1000 * cost / 2, 1),
        )


def depth(rounds: int) -> None:
    """Seconds of forward and backward with the depth decoder on every frame, and on a sixteenth."""
    for books in (2, 8, 32):
        models = {}
        for name, share in (("all", 1.0), ("sixteenth", 1 / 16)):
            shape = {"width": 128, "layers": 2, "heads": 4, "feed_forward": 384, "share": share}
            torch.manual_seed(0)
            models[name] = build(config("csm", books, 256, depth=shape)).train()
        ids, labels = (torch.from_numpy(part)[None] for part in sources(models["all"], 1)[0].make())

        def once(model: Any, ids: Any = ids, labels: Any = labels) -> None:
            nats = model(ids, labels)
            model.loss(nats, model.counts(labels)).backward()

        for model in models.values():
            once(model)
        rows = [tuple(seconds(partial(once, model)) for model in models.values()) for _ in range(rounds)]
        report(
            "depth",
            codebooks=books,
            frames=int((labels[0, :, 1] != IGNORE).sum()),
            all_ms=round(1000 * median(a for a, _ in rows), 1),
            sixteenth_ms=round(1000 * median(b for _, b in rows), 1),
            ratio=round(median(b / a for a, b in rows), 3),
        )


def report(what: str, **numbers: Any) -> None:
    print(json.dumps({"what": what, **numbers}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"train": train, "packing": packing, "depth": depth}
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="which (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.parts or parts:
        parts[name](given.rounds)


if __name__ == "__main__":
    main()
