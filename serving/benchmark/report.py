"""The report of a benchmark: figures as medians with their range, and an aligned table of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import onnxruntime

import emotions
from emotions.describe import plain
from emotions.runtime import available_cores
from serving.benchmark.layers import BATCH_SIZES, PEER, Pass, session_name

FORMAT = 1
"""Version of ``report.json``."""
REPORT = "report.json"

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
        "ratios": {**ratios, **_to_peer(passes)},
        **_extra_cpu(layers, best),
    }


def _to_peer(passes: Passes) -> Report:
    """The service's throughput to that of BentoML's own batcher, where both were measured."""
    ours, theirs = [[name for name in passes if name.startswith(start)] for start in ("service", PEER)]
    return {f"{ours[-1]} / {theirs[0]}": _ratio(passes[theirs[0]], passes[ours[-1]])} if ours and theirs else {}


def _extra_cpu(layers: Mapping[str, Report], best: str) -> Report:
    """Milliseconds of CPU that a server takes for a request on top of the bare session's, decoding included."""
    bare = layers[best]["cpu_ms_per_clip"]["median"]
    key = "server_cpu_ms_per_clip"
    return {"cpu_ms_over_session": {name: each[key]["median"] - bare for name, each in layers.items() if key in each}}


def best_session(passes: Passes) -> str:
    """The bare session's layer with the batch size that is fastest by its median."""
    tried = [session_name(size) for size in BATCH_SIZES]
    return min(tried, key=lambda name: median(each.wall_sec for each in passes[name]))


def _layer(passes: Sequence[Pass], clips: int, audio_sec: float) -> Report:
    figures: Report = {
        "clips_per_sec": _spread([clips / each.wall_sec for each in passes]),
        "audio_sec_per_sec": _spread([audio_sec / each.wall_sec for each in passes]),
        "cpu_ms_per_clip": _spread([1000 * each.cpu_sec / clips for each in passes]),
        "max_abs_diff": max(each.max_abs_diff for each in passes),
    }
    latencies = [1000 * latency for each in passes for latency in each.latencies_sec]
    if latencies:
        figures["server_cpu_ms_per_clip"] = _spread([1000 * each.server_cpu_sec / clips for each in passes])
        quantiles = np.percentile(latencies, [50, 95, 99]).tolist()
        figures["latency_ms"] = dict(zip(("p50", "p95", "p99"), quantiles, strict=True))
    return figures


def _ratio(bare: Sequence[Pass], layer: Sequence[Pass]) -> Report:
    """Throughput of a layer to the bare session's, pass by pass: those of one repeat ran next to each other."""
    return _spread([base.wall_sec / each.wall_sec for base, each in zip(bare, layer, strict=True)])


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}


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
    }


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123  # no path of the user's
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def table(report: Report) -> str:
    """The report's layers as an aligned table, and below it their ratios to the best bare session."""
    ratios = {
        name.partition(" / ")[0]: value
        for name, value in report["ratios"].items()
        if name.endswith(report["best_session"])
    }
    rows = [("layer", "clips/s", "min", "max", "x real time", "CPU ms/clip", "p50 ms", "p99 ms", "of best session")]
    for name, layer in report["layers"].items():
        speed, latency = layer["clips_per_sec"], layer.get("latency_ms", {})
        cpu = layer.get("server_cpu_ms_per_clip", layer["cpu_ms_per_clip"])["median"]
        ratio = ratios.get(name)
        rows.append(
            (
                name + (" *" if name == report["best_session"] else ""),
                *(f"{speed[key]:.1f}" for key in ("median", "min", "max")),
                f"{layer['audio_sec_per_sec']['median']:.1f}",
                f"{cpu:.2f}",
                *(f"{latency[key]:.1f}" if latency else "" for key in ("p50", "p99")),
                f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})" if ratio else "",
            )
        )
    parts = [_head(report), _aligned(rows), "* best batch size: what the ratios are to, pass by pass", *_notes(report)]
    return "\n\n".join(parts)


def _notes(report: Report) -> list[str]:
    """What the table has no column for: ratios to the peer, CPU on top of the session, the client's, pressure."""
    lines = [
        f"{name}: {value['median']:.2f} ({value['min']:.2f} to {value['max']:.2f})"
        for name, value in report["ratios"].items()
        if not name.endswith(report["best_session"])
    ]
    for name, value in report["cpu_ms_over_session"].items():
        client = report["layers"][name]["cpu_ms_per_clip"]["median"]
        lines.append(f"{name}: {value:.2f} ms of CPU a request over the session; the client took {client:.2f} ms")
    lines += [f"pressure, {name}: {value:.4g}" for name, value in report.get("pressure", {}).items()]
    return ["\n".join(lines)] if lines else []


def _head(report: Report) -> str:
    machine, clips, settings = report["machine"], report["clips"], report["settings"]
    return (
        f"{plain(report['bundle'])}, {settings['variant']} on {settings['device']}, {settings['threads']} threads; "
        f"{machine['cpu']}, {machine['cores']} cores; onnxruntime {machine['onnxruntime']}\n"
        f"{clips['count']} {clips['source']} clips, {clips['audio_sec']:.1f} s, {clips['windows']} windows; "
        f"{settings['repeats']} interleaved repeats, medians"
    )


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if at == 0 else f"{cell:>{width}}" for at, (cell, width) in enumerate(cells)
        ).rstrip()
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )
