"""Throughput of scoring over a plain serial loop that calls the same public libraries on the same wavs.

    OMP_NUM_THREADS=1 python benchmarks/scoring.py [--clips 20 40 80] [--workers 1 2] [--rounds 3]

Both sides compute STOI and ESTOI (pystoi), PESQ wide and narrow (pesq) and DNSMOS P.835 (its ONNX network) of
recordings decoded by Opus. The loop is what a script does: clip by clip and metric by metric it reads both files,
resamples (soxr) and calls the library, in one process, its network loaded before the clock starts. Ours is
`scoring.score` on a run directory: it starts its worker processes and loads its networks inside the timed part, checks
what it reads and stores each score with an fsync. Both use one thread a process.

Each round times the loop and then each number of workers, and the ratio is taken within the round, so that a busy
machine disturbs all. The two sides' means must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
import pesq
import pystoi
import soundfile
import soxr

from speech_eval import datasets
from speech_eval.adapters import spec as modelspec
from speech_eval.assets import store as assets
from speech_eval.audio import load
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine import score as scoring
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.engine.task import TASKS
from speech_eval.metrics import catalog
from speech_eval.metrics.mos import windows
from speech_eval.progress import silent

TASK = "codec-reconstruction"
METRICS = ("stoi[pystoi]", "estoi[pystoi]", "pesq-wb[p862.2]", "pesq-nb[p862@8k]", "mos[dnsmos-p835]")
MODEL = "opus,bitrate=12000"


Clip = tuple[Path, Path]


def prepare(folder: Path, clips: int) -> tuple[RunDirectory, Dataset, list[Clip]]:
    """A run with stored answers, and the same sound for the loop: a recording and a decoded wav a clip."""
    settings = Settings(limit=clips, workers=1, metrics=("bitrate[measured@1]",))
    runner.run(modelspec.parse(MODEL), [TASK], folder / "run", settings)
    run, dataset = RunDirectory(folder / "run"), datasets.load_dataset("asterisk-en").subset(clips)
    files = []
    for number, sample in enumerate(dataset.samples):
        stored = run.outputs(TASK)[sample.id].audio
        assert stored is not None and sample.audio is not None
        pair = folder / f"{number}-reference.wav", folder / f"{number}-output.wav"
        for path, source in zip(pair, (dataset.audio_path(sample.audio), run.audio_path(stored)), strict=True):
            audio = load(source)
            soundfile.write(path, audio.samples, audio.rate, subtype="FLOAT")
        files.append(pair)
    return run, dataset, files


def read(path: Path, rate: int) -> Any:
    samples, own = soundfile.read(path, dtype="float32")
    return soxr.resample(samples, own, rate, quality="VHQ") if own != rate else samples


def both(clip: Clip, rate: int) -> tuple[Any, Any]:
    recording, output = read(clip[0], rate), read(clip[1], rate)
    size = min(len(recording), len(output))
    return recording[:size], output[:size]


def loop(clips: list[Clip], session: onnxruntime.InferenceSession) -> dict[str, float]:
    """Mean of each metric."""
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    for clip in clips:
        values["stoi[pystoi]"].append(pystoi.stoi(*both(clip, 16_000), 16_000))
        values["estoi[pystoi]"].append(pystoi.stoi(*both(clip, 16_000), 16_000, extended=True))
        values["pesq-wb[p862.2]"].append(pesq.pesq(16_000, *both(clip, 16_000), "wb"))
        values["pesq-nb[p862@8k]"].append(pesq.pesq(8_000, *both(clip, 8_000), "nb"))
        raw = [session.run(None, {"input_1": part[None]})[0][0][2] for part in windows(read(clip[1], 16_000))]
        values["mos[dnsmos-p835]"].append(
            float(np.mean([-0.06766283 * x * x + 1.11546468 * x + 0.04602535 for x in raw]))
        )
    return {name: float(np.mean(found)) for name, found in values.items()}


def ours(run: RunDirectory, dataset: Dataset, workers: int) -> dict[str, float]:
    """The same through `scoring.score`, nothing kept from before."""
    run.file("scores", TASK).unlink(missing_ok=True)
    task = TASKS.get(TASK)()
    scoring.score(run, task, METRICS, dataset, recognizer=None, workers=workers, plugins=(), progress=silent)
    first = {name: catalog.METRICS.get(name).summaries[0].parts[0] for name in METRICS}
    scores = run.scores(TASK)
    return {
        name: float(np.mean([s.parts[first[name]] for (_, m), s in scores.items() if m == name])) for name in METRICS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[20, 40, 80])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    datasets.load_dataset("asterisk-en").ensure_audio()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(assets.ensure("dnsmos") / "sig_bak_ovr.onnx"), options)
    for count in arguments.clips:
        with tempfile.TemporaryDirectory() as folder:
            run, dataset, clips = prepare(Path(folder), count)
            seconds = sum(soundfile.info(clip[0]).duration for clip in clips)
            loop(clips[:1], session)
            loops: list[float] = []
            times: dict[int, list[float]] = {workers: [] for workers in arguments.workers}
            for _ in range(arguments.rounds):
                start = perf_counter()
                plain = loop(clips, session)
                loops.append(perf_counter() - start)
                for workers in arguments.workers:
                    start = perf_counter()
                    found = ours(run, dataset, workers)
                    times[workers].append(perf_counter() - start)
                    apart = {
                        name: (plain[name], found[name]) for name in METRICS if abs(plain[name] - found[name]) > 2e-3
                    }
                    if apart:
                        raise SystemExit(f"the two sides disagree: {apart}")
        for workers, taken in times.items():
            report = {
                "clips": count,
                "seconds_of_audio": round(seconds, 1),
                "workers": workers,
                "rounds": arguments.rounds,
                "loop_clips_per_second": round(count / statistics.median(loops), 2),
                "clips_per_second": round(count / statistics.median(taken), 2),
                "throughput_ratio": round(statistics.median(a / b for a, b in zip(loops, taken, strict=True)), 3),
                "load_average": round(os.getloadavg()[0], 1),
            }
            print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
