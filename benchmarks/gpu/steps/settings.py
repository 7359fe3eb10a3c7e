"""The provider's settings against each other on the base-size wav2vec2, one changed at a time."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.gpu.child import in_words
from benchmarks.gpu.sessions import PLAIN, open_bare, rates
from benchmarks.gpu.step import Bench, Figures
from benchmarks.gpu.steps.bundles import BASE
from benchmarks.gpu.steps.families import VARIANTS
from emotions.bundle.bundle import read_bundle
from emotions.files.cache import cache_root
from emotions.files.json_text import read_json
from emotions.runtime.session import open_session

_FP16: dict[str, dict[str, str]] = {
    "plain": {},
    "use_tf32=0": {"use_tf32": "0"},
    "prefer_nhwc=1": {"prefer_nhwc": "1"},
    "cudnn_conv1d_pad_to_nc1d=1": {"cudnn_conv1d_pad_to_nc1d": "1"},
    "prefer_nhwc=1, cudnn_conv1d_pad_to_nc1d=1": {"prefer_nhwc": "1", "cudnn_conv1d_pad_to_nc1d": "1"},
    "cudnn_conv_algo_search=DEFAULT": {"cudnn_conv_algo_search": "DEFAULT"},
    "cudnn_conv_algo_search=EXHAUSTIVE": {"cudnn_conv_algo_search": "EXHAUSTIVE"},
}
_FP32 = ("plain", "use_tf32=0")


def settings(bench: Bench) -> Figures:
    """Milliseconds at each batch size by setting, fp16 and then fp32; plain is ONNX Runtime's default but HEURISTIC.

    A setting that does not load or run has the reason as its figure.

    Raises:
        RuntimeError: none of them ran.
    """
    ran, found = 0, None
    for variant, names in {"fp16": [*_FP16], "fp32": _FP32}.items():
        for name in names:
            found = _measured(bench, variant, _FP16[name])
            ran += isinstance(found, dict)
            yield f"{variant}, {name}", found
    if not ran:
        raise RuntimeError(f"no setting ran ({found})")
    yield "the toolkit's trial", _tried(bench)


def _tried(bench: Bench) -> Any:
    """What the toolkit chooses by itself at the first start, and the time of each candidate beside none."""
    began = time.perf_counter()
    open_session(read_bundle(bench.bundle(BASE)), device="cuda", variant="fp16")
    remembered = [read_json(path) for path in sorted((cache_root() / "gpu_settings").glob("*.json"))]
    return {"sec": time.perf_counter() - began, "remembered": remembered}


def _measured(bench: Bench, variant: str, changed: dict[str, str]) -> Any:
    path = bench.bundle(BASE) / VARIANTS[variant]
    try:
        began = time.perf_counter()
        session = open_bare(path, {**PLAIN, **changed})
        load_sec = time.perf_counter() - began
        found = rates(session, bench.batches, bench.samples, bench.measured_sec)
    except Exception as error:  # noqa: BLE001 - told as the figure, and the next setting is measured
        return in_words(error)
    return {"load_sec": load_sec, **{f"ms, batch {size}": each["ms"] for size, each in found.items()}}
