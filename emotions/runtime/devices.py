"""What models run on: whether ONNX Runtime may use a GPU here, how many, and how many batches at once."""

from __future__ import annotations

import os
from itertools import takewhile
from pathlib import Path

import onnxruntime as ort

CUDA = "CUDAExecutionProvider"

_CONTROLS = (Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("C:/Windows/System32/nvcuda.dll"))
GPU_PARALLEL_BATCHES = 2
"""Batches of a GPU at once: while it runs one, the next is collated and copied."""
MAX_PARALLEL_BATCHES = 4
"""Batches at once on a CPU: the threads of one run wait for each other, those of several do not; each takes memory."""


def cpu_parallel_batches(threads: int, *, long: bool, asked: int | None = None) -> tuple[int, int]:
    """Batches that run at once on a CPU, and the threads of each: one a thread, at most ``MAX_PARALLEL_BATCHES``.

    Args:
        threads: of all of them.
        long: windows are of any length up to many seconds: memory is bounded by running one batch at a time.
        asked: how many batches; None for what suits.
    """
    parallel_batches = asked or (1 if long else min(threads, MAX_PARALLEL_BATCHES))
    return parallel_batches, max(1, threads // parallel_batches)


def gpu_parallel_batches(*, long: bool, asked: int | None = None) -> int:
    """Batches that run at once on a GPU.

    Args:
        long: windows are of any length up to many seconds: memory is bounded by running one batch at a time.
        asked: how many batches; None for what suits.
    """
    return asked or (1 if long else GPU_PARALLEL_BATCHES)


def card_present() -> bool:
    """Whether the system has an NVIDIA device; on Windows, its driver."""
    return any(map(Path.exists, _CONTROLS))


def cuda_usable() -> bool:
    """Whether this ONNX Runtime was built for CUDA and there is an NVIDIA device."""
    return card_present() and CUDA in ort.get_available_providers()


def gpu_count(devices: Path = Path("/dev")) -> int:
    """NVIDIA GPUs that ONNX Runtime may use here: those that ``CUDA_VISIBLE_DEVICES`` leaves where it is set.

    Args:
        devices: folder of the device files; where it has none of GPUs, as under WSL, one GPU is assumed.
    """
    if not cuda_usable():
        return 0
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:  # CUDA takes those before the first one that is none
        return len(list(takewhile(lambda name: name and not name.startswith("-"), map(str.strip, named.split(",")))))
    return len([*devices.glob("nvidia[0-9]*")]) or 1
