"""Where each millisecond of a request goes: differences between layers, so that each has an owner."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from serving.benchmark.driver.passes import Pass, layer_name
from serving.benchmark.layers.layers import CALLERS, CONNECTIONS, NULL_MODEL, PREDICTOR, SERVICE, STAGES, batcher_name

Parts = dict[str, float]
_HTTP, _REST = "HTTP and JSON", "side by side"


def waterfalls(passes: Mapping[str, Sequence[Pass]], best: str, clips: int) -> dict[str, Any]:
    """Milliseconds by owner, of a request alone and of CPU at saturation; empty where a layer is lacking.

    Args:
        passes: of each layer.
        best: name of the fastest bare session.
        clips: recordings in one pass.

    Returns:
        ``alone_ms`` and ``cpu_ms``: owner -> milliseconds a clip. What runs side by side on the same cores may cost
        more, or less, than each part by itself; that difference is the last part.
    """
    if not {PREDICTOR, layer_name(NULL_MODEL, 1), layer_name(SERVICE, 1)} <= passes.keys():
        return {}
    return {"waterfall": {"alone_ms": _alone(passes, clips), "cpu_ms": _cpu(passes, best, clips)}}


def _alone(passes: Mapping[str, Sequence[Pass]], clips: int) -> Parts:
    parts = _stages(passes, clips)

    def wall(name: str) -> float:
        return _middle(passes[name], lambda each: each.wall_sec, clips)

    batcher = wall(batcher_name(CALLERS[0])) - parts["model"]
    null_model, service = wall(layer_name(NULL_MODEL, 1)), wall(layer_name(SERVICE, 1))
    outside = null_model - batcher - sum(value for stage, value in parts.items() if stage != "model")
    return {**parts, "batcher": batcher, _HTTP: outside, _REST: service - null_model - parts["model"]}


def _cpu(passes: Mapping[str, Sequence[Pass]], best: str, clips: int) -> Parts:
    def server(name: str) -> float:
        return _middle(passes[layer_name(name, CONNECTIONS[-1])], lambda each: each.server_cpu_sec, clips)

    stages = _stages(passes, clips)
    small = stages["decode"] + stages["windows"] + stages["pool"]
    model = _middle(passes[best], lambda each: each.cpu_sec, clips)
    rest = server(SERVICE) - server(NULL_MODEL) - model
    return {"model": model, "decode, windows, pool": small, _HTTP: server(NULL_MODEL) - small, _REST: rest}


def _stages(passes: Mapping[str, Sequence[Pass]], clips: int) -> Parts:
    def spent(stage: str) -> Callable[[Pass], float]:
        return lambda each: each.stages_sec[stage]

    return {stage: _middle(passes[PREDICTOR], spent(stage), clips) for stage in STAGES}


def _middle(passes: Sequence[Pass], of: Callable[[Pass], float], clips: int) -> float:
    return 1000 * median(of(each) for each in passes) / clips
