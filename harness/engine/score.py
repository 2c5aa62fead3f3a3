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
from speech_eval.engine.generate.requests import checked_text, one_each
from speech_eval.engine.jobs import Job, Votes, jobs_of
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.task import Task
from speech_eval.environment import packages
from speech_eval.errors import BadAudio, BadInput, SpeechEvalError
from speech_eval.metrics.base import BadData, Metric, ScoringItem, Unscorable, Value
from speech_eval.metrics.catalog import METRICS
from speech_eval.progress import Progress
from speech_eval.records import Score, ScoreStatus, Transcript
from speech_eval.signal.level import audible

logger = logging.getLogger(__name__)

BROKEN_AT_FIRST = 5  # samples after which a metric that has scored none is given up


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
    votes: Votes | None = None,
) -> dict[str, str]:
    """Score every stored output by every metric, leaving out what is scored already.

    `votes` are replies of a judge that count instead of its being asked. Without an `executor`, worker processes of
    this machine where a metric loads a model, else this process. Returns the packages that were loaded where scores
    were made, name to version. Raises `SpeechEvalError` where a metric or the recognizer breaks on every sample; one
    that breaks on some is recorded there.
    """
    jobs = jobs_of(run, task, metric_ids, dataset, recognizer, plugins, votes or {})
    total = len(dataset.samples)
    done = total - len(jobs)
    label = f"{task.name}: score"
    logger.info("score: %s, %d samples, %d of them scored already", task.name, total, done)
    progress(label, done, total)
    heavy = any(lacks.listens for lacks in jobs.todo.values()) or any(METRICS.get(name).heavy for name in metric_ids)
    used: dict[str, str] = {}
    breakages = _Breakages()
    answers: Iterator[Scored]
    if executor is not None:
        answers = executor(score_sample, jobs, workers)
    else:
        answers = run_processes(score_sample, jobs, workers) if heavy else run_inline(score_sample, jobs)
    for answer in answers:
        if answer.transcript is not None:
            run.append("transcripts", task.name, [answer.transcript])
        run.append("scores", task.name, answer.scores)
        breakages.add(answer.scores)
        used |= answer.packages
        done += 1
        progress(label, done, total)
    breakages.check(1)
    return used


class _Breakages:
    """Metrics that broke on every sample so far, and how often."""

    def __init__(self) -> None:
        self._sound: set[str] = set()
        self._broken: dict[str, list[Score]] = {}

    def add(self, scores: Sequence[Score]) -> None:
        self._sound |= {score.metric for score in scores if score.status in ("ok", "failed")}
        for score in scores:
            if score.status == "unscored":
                self._broken.setdefault(score.metric, []).append(score)
        self.check(BROKEN_AT_FIRST)

    def check(self, times: int) -> None:
        """Raise `SpeechEvalError` for a metric that broke `times` times or more and has scored no sample."""
        for metric, broken in self._broken.items():
            if metric not in self._sound and len(broken) >= times:
                raise SpeechEvalError(
                    f"{metric} broke on sample {broken[0].id}: {broken[0].detail['reason']}",
                    "Scores so far are kept. Correct the metric or leave it out, or choose another --recognizer, then "
                    "run: speech-eval score RUN",
                )


# -------------------------------------------------------------------------------------- in the process


def score_sample(job: Job) -> Scored:
    """Transcribe (where asked) and score one sample."""
    for plugin in job.plugins:
        registry.load_file(plugin)
    transcript, deaf = job.transcript, ""
    item = _item(job)
    if job.recognizer is not None:
        try:
            transcript = _transcribe(job, item)
        except RecognizerBroke as error:
            deaf = error.problem
    hypothesis = transcript.text if transcript is not None else job.output.text
    original = transcript.original if transcript is not None else None
    item = replace(item, hypothesis=hypothesis, original_hypothesis=original)
    scores = [_score_one(job, item, _metric(name), transcript, deaf) for name in job.metrics]
    return Scored(scores, transcript if job.recognizer is not None else None, _packages(len(sys.modules)))


@lru_cache(maxsize=1)
def _packages(modules: int) -> dict[str, str]:
    """The packages of this process, looked up again only when the number of loaded modules has changed."""
    return packages()


class RecognizerBroke(SpeechEvalError):
    """The scoring recognizer raised on one sample."""


def _score_one(job: Job, item: ScoringItem, metric: Metric, transcript: Transcript | None, deaf: str) -> Score:
    """The score of one sample, or the record of who is at fault that there is none: the model, the data or the scorer.

    `deaf` says why the recognizer gave no transcript; empty where it did or was not asked.
    """
    sample = metric.visible(job.sample)
    vote = job.votes.get(metric.id)
    if vote and vote.replies is not None:
        sample = sample.model_copy(update={"metadata": {**sample.metadata, "scores": list(vote.replies)}})
    item = replace(item, sample=sample)
    scorer = vote.judge if vote else metric.scorer()
    if heard := job.heard.get(metric.id):
        item, scorer = replace(item, ratings=heard.votes), f"listeners of test {heard.test}"
    if "hypothesis" in metric.needs and transcript is not None:
        scorer = transcript.scorer

    def made(status: ScoreStatus, parts: dict[str, float], compat: Any, detail: dict[str, Any] | None) -> Score:
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

    def not_counted(status: ScoreStatus, reason: str) -> Score:
        return made(status, {}, None, {"reason": reason})

    def lost(reason: str, compat: dict[str, float] | None = None) -> Score:
        compat = metric.compat_failure(sample) if compat is None else compat
        return made("failed", metric.failure(sample), compat, {"reason": reason})

    if job.output.status == "invalid":
        return not_counted("invalid", job.output.error or "the data of the sample is defective")
    if lacking := metric.lacks(sample):
        return not_counted("invalid", f"Sample {sample.id} has no {lacking}.")
    # An empty transcript is an answer (all words deleted); an empty waveform is not.
    answered = job.output.status == "ok" or (job.output.status == "empty" and job.output.text is not None)
    try:
        if not answered:
            fault = data_fault(metric, item)
            return not_counted("invalid", fault) if fault else lost(job.output.error or "the answer was empty")
        if deaf and "hypothesis" in metric.needs:
            return not_counted("unscored", deaf)
        try:
            value = metric.score(item)
            if transcript is not None and "hypothesis" in metric.needs and not audible(item.audio()):
                value = _heard_in_silence(metric, item, value)
        except Unscorable as error:
            fault = data_fault(metric, item)
            return not_counted("invalid", fault) if fault else lost(error.problem, error.compat)
    except BadData as error:
        return not_counted("invalid", error.problem)
    except SpeechEvalError:
        raise
    except Exception as error:
        return not_counted("unscored", f"{type(error).__name__}: {error}")
    detail = {**(value.detail or {}), "judge": vote.judge} if vote and vote.replies is not None else value.detail
    return made("ok", value.parts, value.compat, detail)


def data_fault(metric: Metric, item: ScoringItem) -> str:
    """Why no answer could have had a value: the recording or prompt cannot be read, or has no value when it is the
    answer itself. Empty where the data is sound."""
    given = {"reference": (item.load_reference, "recording"), "prompt": (item.load_prompt, "voice prompt")}
    for need, (load_given, what) in given.items():
        if need not in metric.needs or load_given is None:
            continue
        try:
            load_given(None)
            if "audio" in metric.needs:
                answer = item.output.model_copy(update={"status": "ok", "error": None})
                metric.score(replace(item, load_audio=load_given, output=answer))
        except BadData as error:
            return error.problem
        except Unscorable as error:
            return f"The dataset's own {what} has no value: {error.problem}"
    return ""


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
            return checked_text(one_each(adapter.transcribe([request]), [request])[0])
        except SpeechEvalError:
            raise
        except Exception as error:
            problem = f"the recognizer {identity} broke: {type(error).__name__}: {error}"
            raise RecognizerBroke(problem, "Name another one with --recognizer.") from error

    original = job.original
    if original is None and job.hears_original and item.load_reference is not None:
        with contextlib.suppress(BadData):  # metrics that ask for it say so
            original = heard(item.reference(adapter.sample_rate))
    text, digest = heard(item.audio(adapter.sample_rate)), job.output.digest()
    return Transcript(id=job.sample.id, scorer=identity, output=digest, text=text, original=original)


def _item(job: Job) -> ScoringItem:
    return ScoringItem(
        sample=job.sample,
        output=job.output,
        load_audio=_reader(job.audio),
        load_prompt=data_reader(job.audio_files.get("prompt"), job.sample.prompt_audio_sha256),
        load_reference=data_reader(job.audio_files.get("reference"), job.sample.audio_sha256),
    )


def _reader(path: Path | None) -> Callable[[int | None], Audio] | None:
    return None if path is None else (lambda rate: _read(path, rate))


def data_reader(path: Path | None, sha256: str | None) -> Callable[[int | None], Audio] | None:
    """A recording of the dataset, which may state its sha256. Raises `BadData` where it cannot be used."""

    def read(rate: int | None) -> Audio:
        assert path is not None
        try:
            check_digest(path, sha256)
            return _read(path, rate)
        except BadAudio as error:
            raise BadData(error.problem, error.remedy) from error

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
