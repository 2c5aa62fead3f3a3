"""What the harness costs: wall time of `run` over a bare loop with the same model and the same metric.

    python benchmarks/overhead.py [--model whisper-tiny.en] [--samples 10 20 40] [--rounds 3]

Both sides load nothing inside the timed part: the model is built once and handed to both. Each round times the bare
loop and the run one after the other, and the ratio is taken within the round, so that a busy machine disturbs both; the
ratio of CPU times (nothing is heavy here, so all of it is this process's) is disturbed less.
The bare loop does what a short script would: read, transcribe, normalize, align, one at a time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import jiwer

from speech_eval import datasets
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.audio import load
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine import session as runner
from speech_eval.engine.session import Settings
from speech_eval.text import whisper_normalize


def bare_loop(adapter: SpeechRecognizer, dataset: Dataset) -> float:
    """Corpus WER of `dataset`, in per cent, with nothing stored."""
    if bind := getattr(adapter, "bind", None):
        bind({sample.id: sample for sample in dataset.samples})
    references, hypotheses = [], []
    for sample in dataset.samples:
        path = dataset.audio_path(sample.audio or "")
        request = TranscriptionRequest(sample.id, lambda path=path: load(path, adapter.sample_rate), sample.language)
        text = adapter.transcribe([request])[0]
        references.append(whisper_normalize(sample.text or "", sample.language))
        hypotheses.append(whisper_normalize(text, sample.language))
    return 100 * float(jiwer.wer(references, hypotheses))


def harness_run(spec: str, samples: int) -> float:
    """The same WER through `runner.run`: stored, scored with an interval, reported."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(limit=samples, workers=1, metrics=("wer[whisper-normalizer@20250625]",))
        results = runner.run(modelspec.parse(spec), ["asr"], Path(folder), settings)
    value = results.tasks[0].metrics[0].strict.value
    assert value is not None
    return value


def timed(function: Callable[[], float]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds of this process, and the answer."""
    start, worked = perf_counter(), process_time()
    value = function()
    return perf_counter() - start, process_time() - worked, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="whisper-tiny.en")
    parser.add_argument("--samples", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    spec = modelspec.parse(arguments.model)
    adapter = modelspec.resolve(spec).build()
    assert isinstance(adapter, SpeechRecognizer)
    loaded = modelspec.ResolvedModel(spec, type(adapter), instance=adapter)
    runner.modelspec.resolve = lambda *args, **kwargs: loaded  # loading is not part of the comparison
    full = datasets.load_dataset("asterisk-en")
    full.ensure_audio()
    for count in arguments.samples:
        dataset = full.subset(count)
        bare_loop(adapter, dataset.subset(2))
        pairs, cpu = [], []
        for _ in range(arguments.rounds):
            bare, bare_cpu, wer = timed(lambda dataset=dataset: bare_loop(adapter, dataset))
            ours, ours_cpu, same = timed(lambda count=count: harness_run(arguments.model, count))
            if adapter.reads_audio and abs(wer - same) > 1e-4:
                raise SystemExit(f"the two sides disagree: {wer} and {same}")
            pairs.append((bare, ours))
            cpu.append(ours_cpu / bare_cpu)
        report = {
            "model": arguments.model,
            "samples": count,
            "rounds": arguments.rounds,
            "bare_seconds": round(statistics.median(b for b, _ in pairs), 3),
            "run_seconds": round(statistics.median(o for _, o in pairs), 3),
            "ratio": round(statistics.median(o / b for b, o in pairs), 3),
            "cpu_ratio": round(statistics.median(cpu), 3),
            "overhead_ms_per_sample": round(1000 * statistics.median((o - b) / count for b, o in pairs), 2),
        }
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
