"""The report of a benchmark: figures as medians with their range, and an aligned table of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

import numpy as np
import onnxruntime

import emotions
from emotions.runtime.session import available_cores
from serving.benchmark.driver.passes import Pass
from serving.benchmark.driver.statistics import spread
from serving.benchmark.layers.layers import BATCH_SIZES, NULL_MODEL, session_name
from serving.benchmark.layers.waterfall import waterfalls

FORMAT = 2
"""Version of ``report.json``."""
REPORT = "report.json"
_PACKAGES = ("numpy", "soundfile", "soxr", "bentoml", "uvicorn", "uvloop", "httptools")

Passes = Mapping[str, Sequence[Pass]]
"""Layer -> its passes, one a repeat, in the same order for all layers."""
Report = dict[str, Any]


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
    ratios = {f"{name} / {best}": _ratio(passes[best], some) for name, some in passes.items() if name not in sessions}
    return {
        "best_session": best,
        "layers": layers,
        "ratios": ratios,
        **_extra_cpu(layers, best),
        **waterfalls(passes, best, clips),
    }


def _extra_cpu(layers: Mapping[str, Report], best: str) -> Report:
    """Milliseconds of CPU that a server takes for a request on top of the bare session's, decoding included."""
    bare = layers[best]["cpu_ms_per_clip"]["median"]
    key = "server_cpu_ms_per_clip"
    return {
        "cpu_ms_over_session": {
            name: each[key]["median"] - bare
            for name, each in layers.items()
            if key in each and not name.startswith(NULL_MODEL)
        }
    }


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


def _ratio(bare: Sequence[Pass], layer: Sequence[Pass]) -> Report:
    """Throughput of a layer to the bare session's, pass by pass: those of one repeat ran next to each other."""
    return spread([base.wall_sec / each.wall_sec for base, each in zip(bare, layer, strict=True)])


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
