"""Where scoring runs: processes of this machine, or a Ray cluster. Same jobs, same results on any number of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, Protocol, TypeVar

from speech_eval.errors import BadInput, SpeechEvalError, require
from speech_eval.metrics import judge as judges

Job = TypeVar("Job")
Answer = TypeVar("Answer")

# One thread per process: the answer then does not depend on the number of cores, and busy threads do not compete.
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


class Executor(Protocol):
    """Runs `function` over `jobs` with up to `workers` at once and gives the answers as they are ready."""

    def __call__(self, function: Callable[[Job], Answer], jobs: Collection[Job], workers: int) -> Iterator[Answer]: ...


def executor(name: str, ray_address: str | None = None) -> Executor | None:
    """The executor of that name; None for `local`, which uses processes only where a metric loads a model."""
    if name == "ray":
        require("ray", "ray")
        return partial(run_ray, address=ray_address)
    if name != "local":
        raise BadInput(f"Unknown executor '{name}'.", "Use local or ray.")
    if ray_address is not None:
        raise BadInput("A Ray address was given without Ray.", "Add --executor ray.")
    return None


def run_inline(function: Callable[[Job], Answer], jobs: Collection[Job]) -> Iterator[Answer]:
    """One job after another in this process, for work that loads no model."""
    for job in jobs:
        yield function(job)


def run_processes(function: Callable[[Job], Answer], jobs: Collection[Job], workers: int) -> Iterator[Answer]:
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
                "A scoring process died, probably because memory ran out. Scores so far are kept.",
                "Give the same command again with fewer --workers.",
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def run_ray(
    function: Callable[[Job], Answer], jobs: Collection[Job], workers: int, address: str | None = None
) -> Iterator[Answer]:
    """Answers as they are ready, from up to `workers` Ray actors of one core and one thread each.

    Without `address` Ray is started on this machine and stopped again; with one (`auto`, `ray://host:10001`) the
    cluster's nodes need this package and must see the run directory and the recordings under the same paths. A job's
    exception is raised here; an actor that dies raises `SpeechEvalError`.
    """
    workers = min(workers, len(jobs))
    if workers < 1:
        return
    ray = require("ray", "ray")
    started = not ray.is_initialized()
    if started:
        local = {"num_cpus": workers, "include_dashboard": False} if address is None else {"address": address}
        ray.init(log_to_driver=False, configure_logging=False, **local)
    try:
        yield from _from_actors(ray, function, jobs, workers)
    finally:
        if started:
            ray.shutdown()


class _Worker:
    """An actor: it keeps the models that its first job loads."""

    def run(self, function: Callable[[Any], Any], job: Any) -> Any:
        return function(job)


def _from_actors(ray: Any, function: Callable[[Job], Answer], jobs: Collection[Job], workers: int) -> Iterator[Answer]:
    threads = {**dict.fromkeys(_THREAD_VARIABLES, "1"), "TOKENIZERS_PARALLELISM": "false", **judges.environment()}
    # No GPU is asked for: scores are the same with and without one.
    make = ray.remote(num_cpus=1, runtime_env={"env_vars": threads})(_Worker)
    actors = [make.remote() for _ in range(workers)]
    queue = iter(jobs)
    running = {actor.run.remote(function, job): actor for actor, job in zip(actors, queue, strict=False)}
    try:
        while running:
            done, _ = ray.wait(list(running), num_returns=1)
            actor = running.pop(done[0])
            if (job := next(queue, None)) is not None:
                running[actor.run.remote(function, job)] = actor
            yield ray.get(done[0])
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayActorError as error:
        raise SpeechEvalError(
            "A Ray actor died while scoring, probably because memory ran out. Scores so far are kept.",
            "Give the same command again with fewer --workers.",
        ) from error
    finally:
        for actor in actors:
            ray.kill(actor)
