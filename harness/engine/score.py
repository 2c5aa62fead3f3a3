"""Stage two: score stored outputs. A pure function of the run directory and the dataset; the model is not needed.

Every sample is scored by itself, in a process with one thread, so numbers do not depend on workers or order.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from speech_eval import registry
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.audio import Audio, load
from speech_eval.datasets.dataset import Dataset, check_digest
from speech_eval.engine.executors import Executor, run_inline, run_processes
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.task import Task
from speech_eval.environment import packages
from speech_eval.errors import BadAudio, BadInput, SpeechEvalError
from speech_eval.metrics.base import Metric, ScoringItem, Unscorable, Value
from speech_eval.metrics.catalog import METRICS
from speech_eval.progress import Progress
from speech_eval.records import Output, Sample, Score, Status, Transcript
from speech_eval.signal.level import audible

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What a scoring process needs to score one sample."""

    sample: Sample
    output: Output
    audio: Path | None  # the output's
    metrics: tuple[str, ...]
    recognizer: str | None  # model spec; only where a transcript has to be made
    transcript: Transcript | None
    hears_original: bool  # whether the dataset's recording is to be transcribed too
    original: str | None  # what is known to be heard in it
    audio_files: dict[str, Path]  # of: prompt, reference
    plugins: tuple[str, ...]


@dataclass(frozen=True)
class Scored:
    """The outcome of a job."""

    scores: list[Score]
    transcript: Transcript | None
    packages: dict[str, str]  # of the process, name to version


def score(
    run: RunDirectory,
    task: Task,
    metric_ids: Sequence[str],
    dataset: Dataset,
    *,
    recognizer: str | None,
    workers: int,
    plugins: Sequence[str],
    progress: Progress,
    executor: Executor | None = None,
) -> dict[str, str]:
    """Score every stored output by every metric, leaving out what is scored already.

    Without an `executor`, worker processes of this machine where a metric loads a model, else this process. Returns
    the packages that were loaded where scores were made, name to version.
    """
    jobs = _jobs(run, task, metric_ids, dataset, recognizer, plugins)
    total = len(dataset.samples)
    done = total - len(jobs)
    label = f"{task.name}: score"
    logger.info("score: %s, %d samples, %d of them scored already", task.name, total, done)
    progress(label, done, total)
    heavy = any(job.recognizer for job in jobs) or any(METRICS.get(name).heavy for name in metric_ids)
    used: dict[str, str] = {}
    answers: Iterator[Scored]
    if executor is not None:
        answers = executor(score_sample, jobs, workers)
    else:
        answers = run_processes(score_sample, jobs, workers) if heavy else run_inline(score_sample, jobs)
    for answer in answers:
        if answer.transcript is not None:
            run.append("transcripts", task.name, [answer.transcript])
        run.append("scores", task.name, answer.scores)
        used |= answer.packages
        done += 1
        progress(label, done, total)
    return used


def scored(run: RunDirectory, task: Task, metric_ids: Sequence[str], dataset: Dataset) -> bool:
    """Whether every stored output has a score by every metric."""
    outputs = run.answers(task.name)
    digests = {sample.id: outputs[sample.id].digest() for sample in dataset.samples if sample.id in outputs}
    held = {(score.id, score.metric): score.output for score in run.each_score(task.name)}
    return all(held.get((key, name)) == digest for key, digest in digests.items() for name in metric_ids)


def forget_scores(run: RunDirectory, task: Task, metric_ids: Sequence[str]) -> None:
    """Remove the scores of these metrics, and the transcripts where one of them reads those."""
    kept = [score for (_, metric), score in run.scores(task.name).items() if metric not in metric_ids]
    run.replace("scores", task.name, kept)
    if any("hypothesis" in METRICS.get(name).needs for name in metric_ids):
        run.replace("transcripts", task.name, [])


def _jobs(
    run: RunDirectory,
    task: Task,
    metric_ids: Sequence[str],
    dataset: Dataset,
    recognizer: str | None,
    plugins: Sequence[str],
) -> list[Job]:
    outputs, transcripts, scores = run.outputs(task.name), run.transcripts(task.name), run.parts(task.name)
    classes: dict[str, type[Metric]] = {name: METRICS.get(name) for name in metric_ids}
    hears = any("hypothesis" in cls.needs for cls in classes.values())
    compares = any("original-hypothesis" in cls.needs for cls in classes.values())
    originals = _originals(run, task, recognizer) if compares else {}
    jobs = []
    for sample in dataset.samples:
        output = outputs.get(sample.id)
        if output is None:
            continue
        digest = output.digest()
        transcript = transcripts.get(sample.id)
        spoken = hears and output.audio is not None and output.text is None
        if transcript and (transcript.output != digest or not _same_recognizer(transcript, recognizer)):
            transcript = None
        if transcript and compares and transcript.original is None and sample.audio is not None:
            transcript = None
        wanted = tuple(
            name
            for name in metric_ids
            if (stored := scores.get((sample.id, name))) is None
            or stored.output != digest
            or (spoken and "hypothesis" in classes[name].needs and transcript is None)
        )
        if not wanted:
            continue
        listens = spoken and transcript is None and any("hypothesis" in classes[name].needs for name in wanted)
        if listens and recognizer is None:
            raise BadInput(f"Task '{task.name}' scores speech by text and names no recognizer.", "Give --recognizer.")
        jobs.append(
            Job(
                sample=sample,
                output=output,
                audio=None if output.audio is None else run.audio_path(output.audio),
                metrics=wanted,
                recognizer=recognizer if listens else None,
                transcript=transcript if spoken else None,
                hears_original=compares,
                original=originals.get(sample.id),
                audio_files=_audio_files(dataset, sample, classes),
                plugins=tuple(plugins),
            )
        )
    return jobs


def _originals(run: RunDirectory, task: Task, recognizer: str | None) -> dict[str, str]:
    """The transcripts of the recordings at other points of the same sweep, whose recordings are the same."""
    if task.point is None:
        return {}
    records = run.manifest().tasks.items()
    points = [name for name, record in records if record.sweep and record.sweep.task == task.point.task]
    lines = [line for name in points for line in run.transcripts(name).values() if _same_recognizer(line, recognizer)]
    return {line.id: line.original for line in lines if line.original is not None}


def _same_recognizer(transcript: Transcript, recognizer: str | None) -> bool:
    return recognizer is not None and transcript.scorer.rpartition("@")[0] == modelspec.redact(recognizer)


def _audio_files(dataset: Dataset, sample: Sample, classes: dict[str, type[Metric]]) -> dict[str, Path]:
    needs = frozenset().union(*(cls.needs for cls in classes.values()))
    files = {}
    if "prompt" in needs and sample.prompt_audio is not None:
        files["prompt"] = dataset.located(sample.prompt_audio)
    if "reference" in needs and sample.audio is not None:
        files["reference"] = dataset.located(sample.audio)
    return files


# -------------------------------------------------------------------------------------- in the process


def score_sample(job: Job) -> Scored:
    """Transcribe (where asked) and score one sample."""
    for plugin in job.plugins:
        registry.load_file(plugin)
    transcript = job.transcript
    item = _item(job)
    if job.recognizer is not None:
        transcript = _transcribe(job, item)
    hypothesis = transcript.text if transcript is not None else job.output.text
    original = transcript.original if transcript is not None else None
    item = replace(item, hypothesis=hypothesis, original_hypothesis=original)
    scores = [_score_one(job, item, _metric(name), transcript) for name in job.metrics]
    return Scored(scores, transcript if job.recognizer is not None else None, _packages(len(sys.modules)))


@lru_cache(maxsize=1)
def _packages(modules: int) -> dict[str, str]:
    """The packages of this process, looked up again only when the number of loaded modules has changed."""
    return packages()


def _score_one(job: Job, item: ScoringItem, metric: Metric, transcript: Transcript | None) -> Score:
    sample = metric.visible(job.sample)
    item = replace(item, sample=sample)
    scorer = metric.scorer()
    if "hypothesis" in metric.needs and transcript is not None:
        scorer = transcript.scorer

    def made(status: Status, parts: dict[str, float], compat: Any, detail: dict[str, Any] | None) -> Score:
        return Score(
            id=job.sample.id,
            metric=metric.id,
            scorer=scorer,
            output=job.output.digest(),
            status=status,
            parts=parts,
            compat=compat,
            detail=detail or {},
        )

    def lost(reason: str, compat: dict[str, float] | None = None) -> Score:
        compat = metric.compat_failure(sample) if compat is None else compat
        return made("failed", metric.failure(sample), compat, {"reason": reason})

    # An empty transcript is an answer (all words deleted); an empty waveform is not.
    answered = job.output.status == "ok" or (job.output.status == "empty" and job.output.text is not None)
    if not answered:
        return lost(job.output.error or "the answer was empty")
    try:
        value = metric.score(item)
        if transcript is not None and "hypothesis" in metric.needs and not audible(item.audio()):
            value = _heard_in_silence(metric, item, value)
    except Unscorable as error:
        return lost(error.problem, error.compat)
    except SpeechEvalError:
        raise
    except Exception as error:
        raise SpeechEvalError(
            f"{metric.id} broke on sample {job.sample.id}: {type(error).__name__}: {error}",
            "Scores so far are kept. Correct the metric or leave it out, then run: speech-eval score RUN",
        ) from error
    return made("ok", value.parts, value.compat, value.detail)


def _heard_in_silence(metric: Metric, item: ScoringItem, invented: Value) -> Value:
    """The value of an inaudible answer, in which nothing can be heard: what a recognizer invents counts in `compat`
    alone."""
    value = metric.score(replace(item, hypothesis=""))
    detail = {**(value.detail or {}), "reason": "the answer is inaudible; its transcript is not counted"}
    return replace(value, detail=detail, compat=invented.parts if invented.compat is None else invented.compat)


def _transcribe(job: Job, item: ScoringItem) -> Transcript:
    assert job.recognizer is not None
    adapter, identity = loaded_recognizer(job.recognizer)

    def heard(audio: Audio) -> str:
        request = TranscriptionRequest(id=job.sample.id, load_audio=lambda: audio, language=job.sample.language)
        try:
            return str(adapter.transcribe([request])[0])
        except SpeechEvalError:
            raise
        except Exception as error:
            raise SpeechEvalError(
                f"The recognizer {identity} broke on sample {job.sample.id}: {type(error).__name__}: {error}",
                "Scores so far are kept. Correct it or choose another --recognizer, then run: speech-eval score RUN",
            ) from error

    original = job.original
    if original is None and job.hears_original and item.load_reference is not None:
        with contextlib.suppress(Unscorable):  # metrics that ask for it say so
            original = heard(item.reference(adapter.sample_rate))
    text, digest = heard(item.audio(adapter.sample_rate)), job.output.digest()
    return Transcript(id=job.sample.id, scorer=identity, output=digest, text=text, original=original)


def _item(job: Job) -> ScoringItem:
    return ScoringItem(
        sample=job.sample,
        output=job.output,
        load_audio=_reader(job.audio),
        load_prompt=_data_reader(job.audio_files.get("prompt"), job.sample.prompt_audio_sha256),
        load_reference=_data_reader(job.audio_files.get("reference"), job.sample.audio_sha256),
    )


def _reader(path: Path | None) -> Callable[[int | None], Audio] | None:
    return None if path is None else (lambda rate: _read(path, rate))


def _data_reader(path: Path | None, sha256: str | None) -> Callable[[int | None], Audio] | None:
    """A recording of the dataset, which may state its sha256. One that cannot be used leaves no value."""

    def read(rate: int | None) -> Audio:
        assert path is not None
        try:
            check_digest(path, sha256)
            return _read(path, rate)
        except BadAudio as error:
            raise Unscorable(error.problem, error.remedy) from error

    return None if path is None else read


@lru_cache(maxsize=8)
def _read(path: Path, rate: int | None) -> Audio:
    """Decoded once, and resampled once per rate, however many metrics ask."""
    return load(path) if rate is None else _read(path, None).resampled(rate)


@cache
def _metric(name: str) -> Metric:
    metric: Metric = METRICS.get(name)()
    return metric


@lru_cache(maxsize=2)
def loaded_recognizer(spec: str) -> tuple[Any, str]:
    """The recognizer of a model spec, loaded once per process, and its identity. Raises `BadInput` for a model that
    cannot transcribe."""
    model = modelspec.resolve(spec)
    adapter = model.build()
    if not isinstance(adapter, SpeechRecognizer):
        raise BadInput(f"The recognizer '{model.redacted}' cannot transcribe.", "Name a SpeechRecognizer.")
    return adapter, model.identity(adapter.info())
