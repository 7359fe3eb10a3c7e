"""Run folds in parallel processes: one per GPU, or several that share the CPU's cores.

They are forked off a process that has imported what a fold needs, and so start at once and share its memory.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, get_context, parent_process, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Any, Literal

import torch

from emotions.errors import DeviceError
from emotions.runtime.cores import available_cores
from training.evaluation.protocols.fold_job import Shared, Task, run_fold

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
    context = _context()
    devices = context.Queue()  # each process takes one
    for number in range(count):
        devices.put(gpus[number % len(gpus)] if gpus else None)
    threads = max(1, available_cores() // count)
    pool = ProcessPoolExecutor(count, context, _set_up, (shared, devices, threads, dict(os.environ)))
    try:
        with _deferred(signal.SIGINT, signal.SIGTERM):  # until the processes have been told all that they begin with
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


def _context() -> BaseContext:
    """Where processes come from: not off this one, whose threads and CUDA state they would inherit."""
    if sys.platform != "linux":  # Windows has no fork, and after one frameworks of macOS may crash
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([run_fold.__module__])
    # Ctrl-C is for this process alone, and what it starts would not know so before it has imported all.
    resource_tracker.ensure_running()  # which would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


@contextlib.contextmanager
def _deferred(*signals: signal.Signals) -> Iterator[None]:
    """Let signals wait for the end of a block."""
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted by them
        yield
        return
    came: list[int] = []
    before = {each: signal.signal(each, lambda number, _: came.append(number)) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)
    for number in came:
        signal.raise_signal(number)


def _stop(pool: ProcessPoolExecutor) -> None:
    """Kill the processes: finished tasks are on disk.

    A fold that is only asked to end would do so, and its process would then wait for the next one: for ever, where the
    process that was last at the queue of tasks is gone.
    """
    processes: list[Any] = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


def _set_up(shared: Shared, devices: Any, threads: int, environment: Mapping[str, str]) -> None:
    """Set up one of the processes: its environment, GPU and threads, and its exit when the parent is gone."""
    global _shared  # noqa: PLW0603 - what a process of a pool starts with
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environment)  # its own is that of when the first of these processes was started
    gpu = devices.get()
    if gpu is not None:  # before the process first uses CUDA
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    torch.set_num_threads(threads)
    _shared = shared


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)


def _run(task: Task) -> None:
    if _shared is None:
        raise RuntimeError("the process was not set up")
    run_fold(_shared, task)
