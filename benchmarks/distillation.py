"""What distilling a speech encoder into the first codebook does to reconstruction and to modelability.

    speech-eval data prepare speech
    python benchmarks/distillation.py --data speech --output out [--steps 3000]

Two codecs of one shape, seed, data and number of steps: one semantic codebook beside three acoustic ones at 50 Hz; the
first codebook of one of them also learns to predict Whisper's features. Then the first codebook alone, and all four, go
through the tasks codec-reconstruction and codec-modelability; differences are paired by sample.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from speech_eval.adapters import spec as modelspec
from speech_eval.analysis.compare import compare
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.reference_models.codec.config import CodecConfig
from speech_eval.reference_models.codec.train import train
from speech_eval.reference_models.codec.training_config import TrainingConfig
from speech_eval.reference_models.training.state import FILE, read_facts

TEACHER = "whisper-tiny.en"
SHAPE: dict[str, Any] = {
    "latent_dim": 128,
    "encoder": {"type": "stft", "channels": 128, "blocks": 3},
    "decoder": {"type": "vocos", "channels": 256, "blocks": 6},
    "quantizer": {"type": "split", "lookup": "ema", "codebooks": 4, "codebook_dim": 128, "dropout": 0.25},
    "semantic": {"teacher": TEACHER, "mode": "distil"},
}
TRAINING: dict[str, Any] = {
    "batch_size": 4,
    "segment_seconds": 1.0,
    "ema_decay": 0.99,
    "optimizer": {
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "warmup_steps": 100,
        "clip_norm": 100,
        "final_share": 0.02,
    },
    "mel_windows": [128, 512, 2048],
    "mel_bands": [20, 80, 320],
    "stft_windows": [1024, 256],
    "save_every": 500,
    "log_every": 500,
}
LOSSES = {"mel": 15.0, "stft": 1.0, "commitment": 0.25}
TASKS = {
    "codec-modelability": ("modelability[flattened@smoke-2]",),
    "codec-reconstruction": ("stoi[pystoi]", "wer[whisper-normalizer@20250625]"),
}


def trained(name: str, distil: float, data: Path, output: Path, steps: int) -> Path:
    """The checkpoint of one of the two codecs; goes on where it was stopped."""
    folder = output / name
    started = (folder / FILE).is_file()
    if not (started and read_facts(folder).get("finished")):
        training = TrainingConfig.model_validate(TRAINING | {"steps": steps, "losses": LOSSES | {"distil": distil}})
        config = CodecConfig.model_validate(SHAPE)
        train(config, training, data, folder, name=name, resume=started, say=print)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="an AudioFolder, as `speech-eval data prepare` writes")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument(
        "--weight", type=float, default=10.0, help="of the distillation's loss; that of the mel loss is 15"
    )
    parser.add_argument("--limit", type=int, default=40, help="samples of codec-reconstruction")
    given = parser.parse_args()
    codecs = {
        "plain": trained("plain", 0.0, given.data, given.output, given.steps),
        "distilled": trained("distilled", given.weight, given.data, given.output, given.steps),
    }
    for task, metrics in TASKS.items():
        for depth in (1, 4):
            runs = {}
            for name, folder in codecs.items():
                runs[name] = given.output / f"{task}-{name}-{depth}"
                spec = modelspec.parse(f"{folder},n_codebooks={depth}")
                limit = given.limit if task == "codec-reconstruction" else None
                settings = runner.Settings(limit=limit, metrics=metrics)
                runner.run(spec, [task], runs[name], settings, say=print)
            found = compare(RunDirectory(runs["plain"]), RunDirectory(runs["distilled"]))
            for row in found.differences:
                if row.headline:
                    print(json.dumps({"codebooks": depth, **row.model_dump(mode="json")}), flush=True)


if __name__ == "__main__":
    main()
