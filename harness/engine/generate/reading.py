"""The recordings of a dataset, read by a thread while the model works."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

from speech_eval.audio import Audio, load
from speech_eval.datasets.dataset import Dataset
from speech_eval.errors import SpeechEvalError
from speech_eval.records import Sample

PREFETCHED_BATCHES = 2

Change = Callable[[str, Audio], Audio]  # the path of a recording and its sound -> the sound that the model gets


def as_it_is(path: str, audio: Audio) -> Audio:
    """The recording without a change."""
    return audio


class AudioReader:
    """Batches of samples, with the recordings of the next batches read by a thread while the model works, and changed
    there where the task asks for it."""

    def __init__(
        self, dataset: Dataset, todo: Sequence[Sample], size: int, reads_audio: bool, change: Change = as_it_is
    ) -> None:
        self._batches = [list(todo[i : i + size]) for i in range(0, len(todo), size)]
        self._reads = reads_audio
        # Room for what is being read ahead and what is in use, prompts included.
        cached = lru_cache(maxsize=2 * size * (PREFETCHED_BATCHES + 1))
        self._load = cached(lambda relative: change(relative, load(dataset.audio_path(relative))))
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
