"""GPUs: whether ONNX Runtime may use one here, and how many."""

from __future__ import annotations

import os
from itertools import takewhile
from pathlib import Path

import onnxruntime as ort

CUDA = "CUDAExecutionProvider"

_DRIVER = Path("/proc/driver/nvidia/gpus")


def cuda_usable() -> bool:
    """Whether this ONNX Runtime was built for CUDA and there is an NVIDIA device."""
    return CUDA in ort.get_available_providers() and _nvidia_device()


def gpu_count(driver: Path = _DRIVER) -> int:
    """NVIDIA GPUs that ONNX Runtime may use here: those that ``CUDA_VISIBLE_DEVICES`` leaves where it is set.

    Args:
        driver: folder in which the driver lists them; without it, as under WSL, one is assumed.
    """
    if not cuda_usable():
        return 0
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:  # CUDA takes those before the first one that is none
        return len(list(takewhile(lambda name: name and not name.startswith("-"), map(str.strip, named.split(",")))))
    return len(list(driver.iterdir())) if driver.is_dir() else 1


def _nvidia_device() -> bool:
    return os.name == "nt" or Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()
