"""What the machine is, and what its card gives: matrix products and copies, by torch alone."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.gpu.sessions import timed
from benchmarks.gpu.step import Bench, Figures

_PACKAGES = (
    *("torch", "onnxruntime-gpu", "onnxruntime", "onnx", "transformers", "lightning", "timm", "bentoml", "av"),
    *("nvidia-cuda-runtime", "nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-curand", "nvidia-cufft"),
)
_ASKED = ("name", "driver_version", "compute_cap", "memory.total", "memory.used", "clocks.max.sm", "power.limit")
_GB = 1e9


def machine(bench: Bench) -> Figures:
    """The card and its driver, the processor, and the versions of what is installed."""
    yield "cores", len(os.sched_getaffinity(0))
    yield "system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    yield "versions", {name: found for name in _PACKAGES if (found := _version(name))}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    yield "CUDA_VISIBLE_DEVICES", "not set" if visible is None else visible
    if not bench.dry:
        yield "cards", _cards()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cards() -> list[dict[str, str]]:
    if shutil.which("nvidia-smi") is None:
        raise RuntimeError("no nvidia-smi: install the NVIDIA driver, or start the container with --gpus all")
    command = ["nvidia-smi", f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise RuntimeError(f"nvidia-smi: {(done.stdout + done.stderr).strip()}")
    return [dict(zip(_ASKED, line.split(", "), strict=True)) for line in done.stdout.strip().splitlines()]


def rates(bench: Bench) -> Figures:
    """TFLOP/s of square matrix products by type, and GB/s of copies to and from the card."""
    import torch

    device, size = bench.torch_device, 128 if bench.dry else 8192

    def synchronised(run: Callable[[], object]) -> Callable[[], object]:
        def whole() -> None:
            run()
            if not bench.dry:
                torch.cuda.synchronize()

        return whole

    def product(kind: torch.dtype) -> dict[str, float]:
        left, right = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
        taken = timed(synchronised(lambda: left @ right), bench.measured_sec)
        return {"tflops": 2 * size**3 / taken / 1e12, "ms": 1000 * taken}

    yield "size", size
    for name, kind in {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}.items():
        yield name, product(kind)
    torch.backends.cuda.matmul.allow_tf32 = True
    yield "tf32", product(torch.float32)
    yield from _copies(bench, synchronised)


def _copies(bench: Bench, synchronised: Callable[[Callable[[], object]], Callable[[], object]]) -> Figures:
    """Copies of a batch of windows, and of one window: 12 MB and 192 KB."""
    import torch

    def speed(there: Any, here: Any) -> float:
        taken = timed(synchronised(lambda: there.copy_(here, non_blocking=True)), bench.measured_sec)
        return float(here.numel() * here.element_size() / taken / _GB)

    for windows in (bench.batches[0], bench.batches[-1]):
        pageable = torch.zeros(windows, bench.samples)
        there = torch.zeros_like(pageable, device=bench.torch_device)
        found = {"to the card, pageable": speed(there, pageable), "from the card, pageable": speed(pageable, there)}
        if not bench.dry:
            pinned = pageable.pin_memory()
            found |= {"to the card, pinned": speed(there, pinned), "from the card, pinned": speed(pinned, there)}
        yield f"GB/s, {windows} windows", found
