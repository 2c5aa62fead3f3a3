"""Known regressions, planted in a copy of a stored run: dropped words, another voice, added latency, lost samples.

Each injection changes the stored outputs as the defect would, and returns the metrics to score again; None where the
run holds nothing that the defect could change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from speech_eval.audio import Audio, load
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.metrics.base import Metric
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import Output
from speech_eval.statistics.bootstrap import generator

WORDS_DROPPED = 0.1
PITCH = 1.25  # pitch and formants, relative to the voice's own
DELAY = 0.3  # of the median answer time, and at least _LEAST_DELAY
_LEAST_DELAY = 0.05
SAMPLES_LOST = 0.1

Injection = Callable[[RunDirectory, str], "tuple[str, ...] | None"]


def word_drops(run: RunDirectory, task: str) -> tuple[str, ...] | None:
    """Drop a tenth of the words, at random, from the model's texts, or from the transcripts of its speech."""
    affected = _metrics(run, task, lambda metric: "hypothesis" in metric.needs)
    rng = generator(f"word drops/{task}")
    outputs, transcripts = run.outputs(task), run.transcripts(task)
    if not affected or not (transcripts or any(output.text for output in outputs.values())):
        return None
    changed = {key: o.model_copy(update={"text": _fewer(o.text, rng)}) for key, o in outputs.items()}
    run.replace("outputs", task, changed.values())
    heard = [
        line.model_copy(update={"text": _fewer(line.text, rng), "output": changed[line.id].digest()})
        for line in transcripts.values()
        if line.id in changed
    ]
    run.replace("transcripts", task, heard)
    return affected


def _fewer(text: str | None, rng: np.random.Generator) -> str | None:
    return None if text is None else " ".join(word for word in text.split() if rng.random() >= WORDS_DROPPED)


def voice_swap(run: RunDirectory, task: str) -> tuple[str, ...] | None:
    """The same words in another voice: speech played a quarter faster, which raises pitch and formants."""
    affected = _metrics(run, task, lambda metric: {"prompt", "audio"} <= metric.needs)
    outputs = run.outputs(task)
    if not affected or not any(output.audio for output in outputs.values()):
        return None
    run.replace("outputs", task, [_other_voice(run, task, output) for output in outputs.values()])
    return affected


def _other_voice(run: RunDirectory, task: str, output: Output) -> Output:
    if output.audio is None:
        return output
    audio = load(run.audio_path(output.audio))
    faster = Audio(audio.samples, round(audio.rate * PITCH)).resampled(audio.rate)
    return output.model_copy(update={"audio": run.write_audio(task, output.id, faster)})


def added_latency(run: RunDirectory, task: str) -> tuple[str, ...] | None:
    """Delay every answer, and each of its chunks, by `DELAY` of the median answer time."""
    affected = _metrics(run, task, lambda metric: "timing" in metric.needs)
    outputs = run.outputs(task)
    seconds = [output.seconds for output in outputs.values() if output.seconds is not None]
    if not affected or not seconds:
        return None
    delay = max(_LEAST_DELAY, DELAY * float(np.median(seconds)))
    run.replace("outputs", task, [_later(output, delay) for output in outputs.values()])
    return affected


def _later(output: Output, delay: float) -> Output:
    if output.seconds is None:
        return output
    chunks = None
    if output.chunks is not None:
        chunks = [chunk.model_copy(update={"seconds": chunk.seconds + delay}) for chunk in output.chunks]
    return output.model_copy(update={"seconds": output.seconds + delay, "chunks": chunks})


def lost_samples(run: RunDirectory, task: str) -> tuple[str, ...] | None:
    """Remove the last tenth of the outputs, as a crash would."""
    outputs = run.outputs(task)
    kept = dict(list(outputs.items())[: len(outputs) - max(1, round(SAMPLES_LOST * len(outputs)))])
    run.replace("outputs", task, kept.values())
    run.replace("scores", task, [score for (key, _), score in run.scores(task).items() if key in kept])
    return ()


INJECTIONS: dict[str, Injection] = {
    "word drops": word_drops,
    "voice swap": voice_swap,
    "added latency": added_latency,
    "lost samples": lost_samples,
}


def _metrics(run: RunDirectory, task: str, touches: Callable[[type[Metric]], bool]) -> tuple[str, ...]:
    names: Sequence[str] = run.manifest().tasks[task].metrics
    return tuple(name for name in names if touches(METRICS.get(name)))
