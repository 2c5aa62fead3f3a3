"""Stage one: take a task's samples through a model and store every raw answer, one line each, as it comes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial

from speech_eval.adapters.base import Adapter, AudioCodec
from speech_eval.adapters.clock import Clock
from speech_eval.audio import Audio, load
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine.generate.requests import Answer, Driver, answer_batch, encode_once
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.task import Task
from speech_eval.errors import MissingExtra, NotFetched, SpeechEvalError
from speech_eval.progress import Progress
from speech_eval.records import Output, Sample

PREFETCHED_BATCHES = 2


def sample_seed(seed: int, task: str, sample_id: str) -> int:
    """The seed of one sample: a function of the run's seed, the task and the sample's id, and of nothing else."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{task}/{sample_id}".encode()).digest()[:4], "big") >> 1


def generate(
    run: RunDirectory,
    task: Task,
    interface: str,
    dataset: Dataset,
    adapter: Adapter,
    *,
    seed: int,
    batch_size: int | None,
    retry_failed: bool,
    progress: Progress,
    driver: Driver | None = None,
) -> None:
    """Answer every sample of `dataset` that has no stored output yet. Safe to stop and start at any moment."""
    done = run.outputs(task.name)
    finished = {key for key, output in done.items() if not (retry_failed and output.status == "failed")}
    todo = [sample for sample in dataset.samples if sample.id not in finished]
    total = len(dataset.samples)
    label = f"{task.name}: generate"
    progress(label, total - len(todo), total)
    if not todo:
        return
    if bind := getattr(adapter, "bind", None):
        bind({sample.id: sample for sample in dataset.samples})
    seeds = {sample.id: sample_seed(seed, task.name, sample.id) for sample in todo}
    size = batch_size or adapter.batch_size
    if driver is not None:
        driver.prepare(progress)
    answer = partial(answer_batch, interface, adapter, options=task.options) if driver is None else driver.answer
    with AudioReader(dataset, todo, size, adapter.reads_audio) as (read, batches):
        count = total - len(todo)
        for batch in batches:
            run.append("outputs", task.name, _batch(run, task, answer, batch, seeds, read, adapter.clock))
            count += len(batch)
            progress(label, count, total)


def generate_sweep(
    run: RunDirectory,
    points: Sequence[Task],
    dataset: Dataset,
    adapter: AudioCodec,
    *,
    seed: int,
    retry_failed: bool,
    progress: Progress,
) -> None:
    """Encode every sample once and decode it at the depth of each of `points`, leaving out what is stored already."""
    done = {
        (point.name, key)
        for point in points
        for key, output in run.outputs(point.name).items()
        if not (retry_failed and output.status == "failed")
    }
    todo = [sample for sample in dataset.samples if any((point.name, sample.id) not in done for point in points)]
    total = len(dataset.samples)
    label = f"{points[0].point.task if points[0].point else ''}: generate"
    progress(label, total - len(todo), total)
    with AudioReader(dataset, todo, 1, adapter.reads_audio) as (read, batches):
        for count, (sample,) in enumerate(batches, total - len(todo) + 1):
            wanted = [point for point in points if (point.name, sample.id) not in done]
            for point, output in zip(wanted, _depths(run, wanted, adapter, sample, seed, read), strict=True):
                run.append("outputs", point.name, [output])
            progress(label, count, total)


# ------------------------------------------------------------------------------------------------ asking


def _depths(
    run: RunDirectory,
    points: Sequence[Task],
    adapter: AudioCodec,
    sample: Sample,
    seed: int,
    read: Callable[[str], Audio],
) -> Iterator[Output]:
    """One output a point, as it comes. What cannot be encoded fails at every depth; what cannot be decoded, there."""
    decode: Callable[[int], Answer] | Exception
    try:
        decode = encode_once(adapter, sample, read)
    except Exception as error:
        decode = error
    for point in points:
        assert point.point is not None
        own = sample_seed(seed, point.name, sample.id)
        try:
            if isinstance(decode, Exception):
                raise decode
            answer = decode(point.point.value)
        except Exception as error:
            yield failed(point, sample, own, error)
        else:
            yield stored(run, point, sample, own, answer, answer.seconds)


def _batch(
    run: RunDirectory,
    task: Task,
    answer: Callable[[Sequence[Sample], Sequence[int], Callable[[str], Audio]], list[Answer]],
    batch: Sequence[Sample],
    seeds: dict[str, int],
    read: Callable[[str], Audio],
    clock: Clock,
) -> list[Output]:
    """One call for the batch; if it raises, one call a sample, so that a failure stays with the sample that fails."""
    start = clock.now()
    try:
        answers = answer(batch, [seeds[s.id] for s in batch], read)
    except Exception as error:
        if len(batch) == 1:
            return [failed(task, batch[0], seeds[batch[0].id], error)]
        return [output for sample in batch for output in _batch(run, task, answer, [sample], seeds, read, clock)]
    seconds = (clock.now() - start) / len(batch)
    return [stored(run, task, s, seeds[s.id], given, seconds) for s, given in zip(batch, answers, strict=True)]


def stored(run: RunDirectory, task: Task, sample: Sample, seed: int, answer: Answer, seconds: float | None) -> Output:
    """The line of an answer, its speech written to a file of the run."""
    return Output(
        id=sample.id,
        task=task.name,
        status="empty" if answer.empty else "ok",
        seed=seed,
        text=answer.text,
        audio=None if answer.audio is None else run.write_audio(task.name, sample.id, answer.audio),
        seconds=None if seconds is None else round(seconds, 6),
        chunks=answer.chunks,
        timing=answer.timing,
        codes=answer.codes,
        token_model=answer.token_model,
        speech_probabilities=answer.speech_probabilities,
        metadata=answer.metadata,
    )


def failed(task: Task, sample: Sample, seed: int, error: Exception) -> Output:
    """A failure is an answer too: stored with its reason, scored as one. What is not installed is not the model's."""
    if isinstance(error, MissingExtra | NotFetched):
        raise error
    message = f"{type(error).__name__}: {error}"[:2000]
    return Output(id=sample.id, task=task.name, status="failed", seed=seed, error=message)


# ---------------------------------------------------------------------------------------------- reading


class AudioReader:
    """Batches of samples, with the recordings of the next batches read by a thread while the model works."""

    def __init__(self, dataset: Dataset, todo: Sequence[Sample], size: int, reads_audio: bool) -> None:
        self._batches = [list(todo[i : i + size]) for i in range(0, len(todo), size)]
        self._reads = reads_audio
        # Room for what is being read ahead and what is in use, prompts included.
        cached = lru_cache(maxsize=2 * size * (PREFETCHED_BATCHES + 1))
        self._load = cached(lambda relative: load(dataset.audio_path(relative)))
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")

    def __enter__(self) -> tuple[Callable[[str], Audio], Iterator[list[Sample]]]:
        return self._load, self._iterate()

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _iterate(self) -> Iterator[list[Sample]]:
        ahead: list[Future[None]] = []
        for index, batch in enumerate(self._batches):
            while self._reads and len(ahead) < PREFETCHED_BATCHES and index + len(ahead) < len(self._batches):
                ahead.append(self._pool.submit(self._prefetch, self._batches[index + len(ahead)]))
            if ahead:
                ahead.pop(0).result()
            yield batch

    def _prefetch(self, batch: Sequence[Sample]) -> None:
        for sample in batch:
            for relative in (sample.audio, sample.prompt_audio):
                if relative is not None:
                    try:
                        self._load(relative)
                    except SpeechEvalError:
                        continue  # met again, and recorded, when the model asks for this sample
