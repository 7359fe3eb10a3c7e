"""Folds in parallel processes: one a GPU, or a few that share the CPU's cores."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Literal

import torch

from emotions.errors import DeviceError
from emotions.runtime.session import available_cores
from training.evaluation.protocols.fold_job import Shared, Task, run_fold

_WATCH_SEC = 2.0
_shared: Shared | None = None


def run_folds(shared: Shared, tasks: Sequence[Task], jobs: int | Literal["auto"]) -> Iterator[Task]:
    """Run tasks, each as it is done.

    Args:
        shared: what they have in common.
        tasks: what to run.
        jobs: how many at once; auto: as many as there are GPUs, or cores.

    Raises:
        EmotionsError: what went wrong in one of them; those that are done are kept.
        DeviceError: a process was killed.
    """
    gpus = _gpus() if shared.steps[0].accelerator != "cpu" else []
    count = min(jobs if jobs != "auto" else len(gpus) or available_cores(), len(tasks))
    if count <= 1:
        for task in tasks:
            run_fold(shared, task)
            yield task
        return
    context = get_context("spawn")
    turns = context.Queue()
    for turn in range(count):
        turns.put(gpus[turn % len(gpus)] if gpus else None)
    threads = max(1, available_cores() // count)
    pool = ProcessPoolExecutor(count, context, _begin, (shared, turns, threads, os.getpid()))
    try:
        yield from _finished({pool.submit(_run, task): task for task in tasks})
    except BrokenProcessPool as error:
        raise DeviceError("a process of a fold ended before its time; perhaps memory was short: lower jobs") from error
    finally:
        _stop(pool)


def _gpus() -> list[str]:
    """Names of the GPUs that this process may use."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    count = torch.cuda.device_count()
    return [name.strip() for name in named.split(",") if name.strip()][:count] or [str(gpu) for gpu in range(count)]


def _finished(futures: dict[Future[None], Task]) -> Iterator[Task]:
    for future in as_completed(futures):
        future.result()
        yield futures[future]


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the processes, whatever they do: what they have finished is on disk."""
    processes: list[Any] = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def _begin(shared: Shared, turns: Any, threads: int, parent: int) -> None:
    """Set up one of the processes: its GPU, its threads, and its end when the parent is gone."""
    global _shared  # noqa: PLW0603 - what a process of a pool starts with
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent, lambda: os._exit(1)), daemon=True).start()
    gpu = turns.get()
    if gpu is not None:  # in time: a process reads it when it first uses CUDA
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    torch.set_num_threads(threads)
    _shared = shared


def _watch(parent: int, end: Callable[[], None]) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SEC)
    end()


def _run(task: Task) -> None:
    if _shared is None:
        raise RuntimeError("the process was not set up")
    run_fold(_shared, task)
