"""The report of a benchmark: figures as medians with their range, and where each millisecond of a request goes."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

import numpy as np
import onnxruntime

import emotions
from emotions.runtime.cores import available_cores
from serving.benchmark.driver.passes import Pass, layer_name
from serving.benchmark.driver.statistics import spread
from serving.benchmark.layers.layers import (
    BATCH_SIZES,
    CALLERS,
    CONNECTIONS,
    NULL_MODEL,
    PREDICTOR,
    SERVICE,
    STAGES,
    batcher_name,
    session_name,
)

FORMAT = 2
"""Version of ``report.json``."""
REPORT = "report.json"
_PACKAGES = ("numpy", "soundfile", "soxr", "bentoml", "uvicorn", "uvloop", "httptools")

Passes = Mapping[str, Sequence[Pass]]
"""Layer -> its passes, one a repeat, in the same order for all layers."""
Report = dict[str, Any]
Parts = dict[str, float]
_HTTP, _REST = "HTTP and JSON", "side by side"
"""Owners in the waterfall: differences between layers, so that each millisecond has one."""


def figures(passes: Passes, clips: int, audio_sec: float) -> Report:
    """What was measured, as the report's keys ``layers`` and ``ratios``.

    Args:
        passes: at least one pass of each layer.
        clips: recordings in one pass.
        audio_sec: seconds of audio in one pass.
    """
    best = best_session(passes)
    layers = {name: _layer(some, clips, audio_sec) for name, some in passes.items()}
    sessions = {session_name(size) for size in BATCH_SIZES}
    # Pass by pass: those of one repeat ran next to each other.
    ratios = {
        f"{name} / {best}": spread(
            [base.wall_sec / each.wall_sec for base, each in zip(passes[best], some, strict=True)]
        )
        for name, some in passes.items()
        if name not in sessions
    }
    return {
        "best_session": best,
        "layers": layers,
        "ratios": ratios,
        "cpu_ms_over_session": _extra_cpu(layers, best),
        "cpu_ms_over_session_batch_1": _extra_cpu(layers, session_name(1)),
        **_waterfalls(passes, best, clips),
    }


def _extra_cpu(layers: Mapping[str, Report], session: str) -> Parts:
    """Milliseconds of CPU that a server takes for a request on top of a bare session's, decoding included."""
    bare = layers[session]["cpu_ms_per_clip"]["median"]
    key = "server_cpu_ms_per_clip"
    served = {name: each for name, each in layers.items() if key in each and not name.startswith(NULL_MODEL)}
    return {name: each[key]["median"] - bare for name, each in served.items()}


def best_session(passes: Passes) -> str:
    """The bare session's layer with the batch size that is fastest by its median."""
    tried = [session_name(size) for size in BATCH_SIZES]
    return min(tried, key=lambda name: median(each.wall_sec for each in passes[name]))


def _layer(passes: Sequence[Pass], clips: int, audio_sec: float) -> Report:
    figures: Report = {
        "clips_per_sec": spread([clips / each.wall_sec for each in passes]),
        "audio_sec_per_sec": spread([audio_sec / each.wall_sec for each in passes]),
        "cpu_ms_per_clip": spread([1000 * each.cpu_sec / clips for each in passes]),
        "max_abs_diff": max(each.max_abs_diff for each in passes),
    }
    latencies = [1000 * latency for each in passes for latency in each.latencies_sec]
    if latencies:
        figures["server_cpu_ms_per_clip"] = spread([1000 * each.server_cpu_sec / clips for each in passes])
        quantiles = np.percentile(latencies, [50, 95, 99]).tolist()
        figures["latency_ms"] = dict(zip(("p50", "p95", "p99"), quantiles, strict=True))
    return figures


def _waterfalls(passes: Passes, best: str, clips: int) -> Report:
    """Milliseconds by owner, of a request alone and of CPU at saturation; empty where a layer is lacking.

    What runs side by side on the same cores may cost more, or less, than each part by itself: that is the last part.
    """
    if not {PREDICTOR, layer_name(NULL_MODEL, 1), layer_name(SERVICE, 1)} <= passes.keys():
        return {}
    return {"waterfall": {"alone_ms": _alone(passes, clips), "cpu_ms": _cpu(passes, best, clips)}}


def _alone(passes: Passes, clips: int) -> Parts:
    parts = _stages(passes, clips)

    def wall(name: str) -> float:
        return _middle(passes[name], lambda each: each.wall_sec, clips)

    batcher = wall(batcher_name(CALLERS[0])) - parts["model"]
    null_model, service = wall(layer_name(NULL_MODEL, 1)), wall(layer_name(SERVICE, 1))
    outside = null_model - batcher - sum(value for stage, value in parts.items() if stage != "model")
    return {**parts, "batcher": batcher, _HTTP: outside, _REST: service - null_model - parts["model"]}


def _cpu(passes: Passes, best: str, clips: int) -> Parts:
    def server(name: str) -> float:
        return _middle(passes[layer_name(name, CONNECTIONS[-1])], lambda each: each.server_cpu_sec, clips)

    stages = _stages(passes, clips)
    small = stages["decode"] + stages["windows"] + stages["pool"]
    model = _middle(passes[best], lambda each: each.cpu_sec, clips)
    rest = server(SERVICE) - server(NULL_MODEL) - model
    return {"model": model, "decode, windows, pool": small, _HTTP: server(NULL_MODEL) - small, _REST: rest}


def _stages(passes: Passes, clips: int) -> Parts:
    seconds = {stage: median(each.stages_sec[stage] for each in passes[PREDICTOR]) for stage in STAGES}
    return {stage: 1000 * each / clips for stage, each in seconds.items()}


def _middle(passes: Sequence[Pass], of: Callable[[Pass], float], clips: int) -> float:
    return 1000 * median(of(each) for each in passes) / clips


def machine() -> Report:
    """What it was measured on."""
    return {
        "cpu": _cpu_model(),
        "cores": available_cores(),
        "cores_of_machine": os.cpu_count(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "toolkit": emotions.__version__,
        "packages": {name: found for name in _PACKAGES if (found := installed(name))},
    }


def installed(name: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123  # no path of the user's
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
