"""Bare sessions on a GPU: with any settings, between buffers that stay there, timed, and where their nodes ran."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.manifest import LENGTH, WAVEFORM
from export.proof.signals import padded, synthetic_voices

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
PLAIN: Mapping[str, str] = {"cudnn_conv_algo_search": "HEURISTIC"}
"""The settings that the others are compared with."""
_WARM, _LEAST = 3, 5
_MOST_AXES = 8


class WrongProvider(RuntimeError):
    """ONNX Runtime took the CPU without a word."""


def open_bare(
    path: Path,
    settings: Mapping[str, str] = PLAIN,
    *,
    strict: bool = False,
    profile: Path | None = None,
    optimised: Path | None = None,
) -> ort.InferenceSession:
    """Open a graph on the GPU as ONNX Runtime does it, without the toolkit.

    Args:
        path: an ONNX file.
        settings: of the CUDA provider.
        strict: refuse a graph of which a node would run on the CPU.
        profile: where a profile is written, as the beginning of the file's name.
        optimised: where the optimised graph is written.

    Raises:
        WrongProvider: the session is none on the GPU.
    """
    ort.preload_dlls()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    if strict:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    # One that names the CPU cannot forbid it.
    providers: list[Any] = [(CUDA, dict(settings)), *([] if strict else [CPU])]
    session = ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    if session.get_providers()[0] != CUDA:
        raise WrongProvider("the CUDA provider did not load, and ONNX Runtime took the CPU; see the step provider")
    return session


def open_cpu(path: Path, threads: int = 0) -> ort.InferenceSession:
    """Open a graph on the CPU.

    Args:
        path: an ONNX file.
        threads: of one run; 0 for one a core.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return ort.InferenceSession(str(path), options, providers=[CPU], enable_fallback=0)


def voices(windows: int, samples: int, seed: int = 0) -> tuple[FloatArray, IntArray]:
    """Synthetic voices: (windows, samples) float32 and (windows,) int64.

    Args:
        windows: how many.
        samples: of each, padding included.
        seed: which voices.
    """
    few = min(windows, 8)  # they take longer to make than to classify
    waveform, length = padded(synthetic_voices(few, samples, seed), samples)
    rows = np.arange(windows) % len(waveform)
    return np.ascontiguousarray(waveform[rows]), np.asarray(length, np.int64)[rows]


def on_device(session: ort.InferenceSession, waveform: FloatArray, length: IntArray) -> Callable[[], None]:
    """What runs a batch that is on the GPU already, and leaves the answer there.

    Args:
        session: of a bundle's graph.
        waveform: (batch, samples) float32.
        length: (batch,) int64.
    """
    bound = session.io_binding()
    for name, array in ((WAVEFORM, waveform), (LENGTH, length)):
        bound.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array, "cuda", 0))
    for output in session.get_outputs():
        value = ort.OrtValue.ortvalue_from_shape_and_type([len(length), output.shape[1]], np.float32, "cuda", 0)
        bound.bind_ortvalue_output(output.name, value)
    return lambda: session.run_with_iobinding(bound)


def timed(run: Callable[[], object], seconds: float) -> float:
    """Median seconds of one call, after three that warm up.

    Args:
        run: what to time.
        seconds: to measure for; five calls at least.
    """
    for _ in range(_WARM):
        run()
    taken: list[float] = []
    ends = time.perf_counter() + seconds
    while len(taken) < _LEAST or time.perf_counter() < ends:
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def rates(
    session: ort.InferenceSession, batches: Sequence[int], samples: int, seconds: float
) -> dict[int, dict[str, float]]:
    """Milliseconds of a batch and windows a second, by the size of the batch, between buffers on the GPU.

    Args:
        session: of a bundle's graph.
        batches: windows in a batch.
        samples: of a window.
        seconds: to measure each for.
    """
    found = {}
    for size in batches:
        taken = timed(on_device(session, *voices(size, samples)), seconds)
        found[size] = {"ms": 1000 * taken, "windows_per_sec": size / taken}
    return found


def placement(profile: Path) -> dict[str, Any]:
    """Where the nodes of a graph ran, by a profile that ``end_profiling`` wrote.

    Returns:
        ``nodes``, ``copies`` between devices, ``on_cpu``: operator -> nodes, and ``shapes_on_cpu``, nodes that compute
        shapes: ONNX Runtime puts those there itself, as kernels on a GPU are launched with sizes that a CPU knows.
    """
    events = json.loads(profile.read_text(encoding="utf-8"))
    ran = {
        event["name"]: event["args"] for event in events if event.get("cat") == "Node" and "provider" in event["args"]
    }
    copies = [name for name, args in ran.items() if str(args.get("op_name", "")).startswith("Memcpy")]
    others = [args for name, args in ran.items() if args["provider"] != CUDA and name not in copies]
    on_cpu = Counter(str(args["op_name"]) for args in others if not _is_of_shapes(args))
    return {
        "nodes": len(ran),
        "copies": len(copies),
        "on_cpu": dict(on_cpu),
        "shapes_on_cpu": len(others) - on_cpu.total(),
    }


def _is_of_shapes(args: Mapping[str, Any]) -> bool:
    """Whether all that a node gives are a few whole numbers."""
    given = [(kind, shape) for each in args.get("output_type_shape", ()) for kind, shape in each.items()]
    return bool(given) and all(kind == "int64" and math.prod(shape) <= _MOST_AXES for kind, shape in given)
