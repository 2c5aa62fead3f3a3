"""Where scoring runs: worker processes of this machine. Same jobs, same results, whatever their number."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from harness.errors import SpeechEvalError

Job = TypeVar("Job")
Answer = TypeVar("Answer")

# One thread a process: the answer then does not depend on the number of cores, and busy threads do not compete.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def start_worker() -> None:
    """Set up a scoring process that has imported nothing numeric yet: one thread, and an end with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()
    for name in _THREAD_VARIABLES:
        os.environ[name] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def default_workers() -> int:
    """Cores this process may use, at most four."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(4, cores))


def run_inline(function: Callable[[Job], Answer], jobs: Sequence[Job]) -> Iterator[Answer]:
    """One job after another in this process, for work that loads no model."""
    for job in jobs:
        yield function(job)


def run_processes(function: Callable[[Job], Answer], jobs: Sequence[Job], workers: int) -> Iterator[Answer]:
    """Answers as they are ready, from up to `workers` fresh processes with one thread each.

    A worker's exception is raised here, after which no further job starts. A worker that dies (out of memory,
    killed) raises `SpeechEvalError`.
    """
    workers = min(workers, len(jobs))
    if workers < 1:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker) as pool:
        queue = iter(jobs)
        running: set[Future[Answer]] = set()
        try:
            for job in queue:
                running.add(pool.submit(function, job))
                if len(running) >= 2 * workers:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise SpeechEvalError(
                "A scoring process died, most likely for want of memory. Scores so far are kept.",
                "Give the same command again with fewer --workers.",
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
