"""Run folds in parallel processes: one per GPU, or several that share the CPU's cores."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Literal

import torch

from emotions.errors import DeviceError
from emotions.runtime.session import available_cores
from training.evaluation.protocols.fold_job import Shared, Task, run_fold

_POLL_SEC = 0.5
_shared: Shared | None = None


def run_folds(shared: Shared, tasks: Sequence[Task], jobs: int | Literal["auto"]) -> Iterator[Task]:
    """Run tasks, and yield each when it is done.

    Args:
        shared: what the folds have in common.
        tasks: what to run.
        jobs: number of processes; auto: one per GPU, or per core.
    """
    gpus = _gpus() if shared.steps[0].accelerator != "cpu" else []
    count = min(jobs if jobs != "auto" else len(gpus) or available_cores(), len(tasks))
    if count <= 1:
        for task in tasks:
            run_fold(shared, task)
            yield task
        return
    context = get_context("spawn")
    devices = context.Queue()  # each process takes one
    for number in range(count):
        devices.put(gpus[number % len(gpus)] if gpus else None)
    threads = max(1, available_cores() // count)
    pool = ProcessPoolExecutor(count, context, _set_up, (shared, devices, threads, os.getpid()))
    try:
        futures = {pool.submit(_run, task): task for task in tasks}
        for future in as_completed(futures):
            future.result()
            yield futures[future]
    except BrokenProcessPool as error:
        raise DeviceError("a process of a fold ended before its time; perhaps memory was short: lower jobs") from error
    finally:
        _stop(pool)


def _gpus() -> list[str]:
    """Names of the GPUs that this process may use."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    count = torch.cuda.device_count()
    return [name.strip() for name in named.split(",") if name.strip()][:count] or [str(gpu) for gpu in range(count)]


def _stop(pool: ProcessPoolExecutor) -> None:
    """Terminate the processes: finished tasks are on disk."""
    processes: list[Any] = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def _set_up(shared: Shared, devices: Any, threads: int, parent: int) -> None:
    """Set up one of the processes: its GPU, its threads, and its exit when the parent is gone."""
    global _shared  # noqa: PLW0603 - what a process of a pool starts with
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    threading.Thread(target=_watch, args=(parent, lambda: os._exit(1)), daemon=True).start()
    gpu = devices.get()
    if gpu is not None:  # before the process first uses CUDA
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    torch.set_num_threads(threads)
    _shared = shared


def _watch(parent: int, end: Callable[[], None]) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SEC)
    end()


def _run(task: Task) -> None:
    if _shared is None:
        raise RuntimeError("the process was not set up")
    run_fold(_shared, task)
