"""Steps that go wrong in every way, and one that goes well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from benchmarks.gpu.step import Bench, Figures, Skipped, Step

_HERE = "tests.benchmarks.gpu.faulty"


def well(bench: Bench) -> Figures:
    yield "dry", bench.dry
    yield "numbers", {"half": 0.5, "nan": float("nan"), "third": 1 / 3}


def raises(bench: Bench) -> Figures:
    yield "before", 1
    raise ValueError("\n the cause\nand a long trace")


def fails_on_the_card(bench: Bench) -> Figures:
    """As ONNX Runtime words it."""
    yield "before", 1
    raise RuntimeError(
        "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:154 std::conditional_t<THRW, void> CudaCall() "
        "CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; hostname=here ; file=cuda.cc"
    )


def skips(bench: Bench) -> Figures:
    yield "before", 1
    raise Skipped("bentoml is not installed")


def hangs(bench: Bench) -> Figures:
    """And leaves a process behind that would outlive it, and keep the card."""
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    yield "left", left.pid
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(120)


def dies(bench: Bench) -> Figures:
    yield "before", 1
    os.kill(os.getpid(), signal.SIGSEGV)


def leaves(bench: Bench) -> Figures:
    yield "before", 1
    print("CUDA error: an illegal memory access", file=sys.stderr, flush=True)
    os._exit(7)


def step(name: str, seconds: float = 60.0) -> Step:
    """One of them as a step."""
    return Step(name, f"What {name}", f"{_HERE}:{name}", seconds)
