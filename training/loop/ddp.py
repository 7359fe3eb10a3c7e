"""Training in several processes of this machine, with torch's DistributedDataParallel (gloo or NCCL)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment, find_free_network_port
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from emotions.errors import DeviceError, EmotionsError
from emotions.runtime.cores import available_cores
from training.loop.job import Job, ProcessContext, seeded_model, train


def train_in_processes(job: Job, processes: int) -> None:
    """Train a job in new processes, one per device, and wait for them.

    Not Lightning's own launchers: ``ddp`` runs the whole command again in each process, and ``ddp_spawn`` pickles the
    trainer with its callbacks and hands errors back as text, so that a user's mistake would end in a traceback.

    Args:
        job: what to train.
        processes: number of processes.
    """
    _check_devices(job.step.accelerator, processes)
    context = get_context("spawn")
    errors = context.SimpleQueue()
    # "spawn", because a forked process would inherit this one's threads and CUDA state.
    start: Any = start_processes
    arguments = (job, processes, find_free_network_port(), errors)
    spawned = start(_work, arguments, processes, join=False, start_method="spawn")
    try:
        while not spawned.join():
            pass
    except ProcessExitedException as error:
        raise DeviceError(f"a training process ended before its time ({error}); perhaps memory was short") from error
    except ProcessRaisedException:
        if not errors.empty():
            raise errors.get() from None
        raise
    finally:
        for process, error_file in zip(spawned.processes, spawned.error_files, strict=True):
            process.kill()  # one that waits for a lost one in a collective would wait for ever
            process.join()
            Path(error_file).unlink(missing_ok=True)  # torch does not remove it


def _work(rank: int, job: Job, processes: int, port: int, errors: Any) -> None:
    """Train in one of the processes."""
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE=str(processes)
    )
    torch.set_num_threads(max(1, min(torch.get_num_threads(), available_cores() // processes)))
    options = {
        "devices": processes,
        "strategy": "ddp" if job.step.strategy == "auto" else job.step.strategy,
        "plugins": [LightningEnvironment()],
    }
    try:
        train(job, seeded_model(job), ProcessContext(rank, processes, options))
    except EmotionsError as error:
        errors.put(error)
        raise


def _check_devices(accelerator: str, processes: int) -> None:
    found = torch.cuda.device_count()
    if (accelerator in ("gpu", "cuda") or (accelerator == "auto" and found)) and found < processes:
        raise DeviceError(f"devices: found {processes}; this machine has {found} CUDA devices")
    if accelerator == "mps":
        raise DeviceError(f"devices: found {processes}; mps has one device")
