"""Every model family on the GPU in fp32 and fp16: does it run there whole, and does it answer as it should."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from benchmarks.gpu.child import in_words
from benchmarks.gpu.sessions import open_bare, open_cpu, placement, voices
from benchmarks.gpu.step import Bench, Figures
from benchmarks.gpu.steps.bundles import BASE, FAMILIES
from emotions.bundle.bundle import read_bundle
from emotions.bundle.manifest import LENGTH, WAVEFORM
from emotions.runtime.probe_replay import PROBE_TOLERANCE
from emotions.runtime.session import open_session
from export.graph.fp16_rounding import rounded_as_fp16

VARIANTS = {"fp32": "model.onnx", "fp16": "model.fp16.onnx"}
_LEAST_AGREEMENT = 0.98
Answers = dict[str, Any]


def families(bench: Bench) -> Figures:
    """Load and first run of each variant with the CPU forbidden, its nodes there, and its copies between devices.

    A graph that ONNX Runtime refuses for nodes that compute shapes alone is noted as ``refused``, and no fault.

    Raises:
        RuntimeError: a variant needs the CPU, or copies in its middle; all were looked at.
    """
    faults = []
    for family in (*FAMILIES, BASE):
        for variant, file in VARIANTS.items():
            found = _placed(bench, bench.bundle(family) / file)
            yield f"{family}, {variant}", found
            if found["on_cpu"] or found["copies"]:
                faults.append(f"{family} in {variant}")
    if faults and not bench.dry:
        raise RuntimeError(f"nodes on the CPU, or copies to it: {', '.join(faults)}")


def _placed(bench: Bench, path: Path) -> dict[str, Any]:
    waveform, length = voices(bench.batches[1], bench.samples)
    feed = {WAVEFORM: waveform, LENGTH: length}
    refused = ""
    began = time.perf_counter()
    try:
        session = open_bare(path, strict=True)
    except Exception as error:  # noqa: BLE001 - told, and the nodes are counted all the same
        refused = in_words(error)
        session = open_bare(path)
    loaded = time.perf_counter()
    session.run(None, feed)
    first = time.perf_counter()
    session.run(None, feed)
    second = time.perf_counter()
    profiled = open_bare(path, profile=bench.scratch / "profile")
    profiled.run(None, feed)
    where = placement(Path(profiled.end_profiling()))
    return {
        "load_sec": loaded - began,
        "first_ms": 1000 * (first - loaded),
        "second_ms": 1000 * (second - first),
        "refused": refused,
        **where,
    }


def parity(bench: Bench) -> Figures:
    """Each variant against the CPU, fp16 against its emulation, and as the toolkit opens it: differences and labels.

    Raises:
        RuntimeError: an answer is NaN, misses the tolerance, or has another label too often; all were looked at.
    """
    faults = []
    for family in (*FAMILIES, BASE):
        found = _answers(bench, family)
        for variant in VARIANTS:
            figures = _compared(found[variant], found["cpu"])
            limit = found["tolerance"][variant]
            if variant == "fp16":
                figures["off_emulation"] = _off(found["fp16"], found["emulated"])
            figures |= {"allowed": limit, "opens": found["opens"][variant]}
            yield f"{family}, {variant}", figures
            bad = figures["nan"] or not figures["off"] <= limit or figures["same_label"] < _LEAST_AGREEMENT
            if bad or figures["opens"] != variant:
                faults.append(f"{family} in {variant}")
    if faults:
        raise RuntimeError(f"does not answer as it should: {', '.join(faults)}")


def _answers(bench: Bench, family: str) -> dict[str, Any]:
    bundle = read_bundle(bench.bundle(family))
    targets = [*bundle.manifest.targets]
    waveform, length = voices(bench.batches[2], bench.samples, seed=5)
    # Other voices than the first ones, each of its own loudness: repeated rows would count one label many times.
    waveform *= np.linspace(0.2, 1.0, len(waveform), dtype=np.float32)[:, None]
    feed = {WAVEFORM: waveform, LENGTH: length}

    def answered(session: ort.InferenceSession) -> Answers:
        return dict(zip(targets, session.run(targets, feed), strict=True))

    emulation = bench.scratch / "emulation.onnx"
    onnx.save(rounded_as_fp16(onnx.load(bundle.file("fp16"))), emulation)
    variants = bundle.manifest.variants
    return {
        "cpu": answered(open_cpu(bundle.file("fp32"))),
        "emulated": answered(open_cpu(emulation)),
        **{name: answered(open_bare(bundle.file(name), _settings(name))) for name in VARIANTS},
        "tolerance": {name: PROBE_TOLERANCE + 2 * variants[name].max_abs_diff for name in VARIANTS},
        "opens": {name: _opens(bundle, name) for name in VARIANTS},
    }


def _settings(variant: str) -> dict[str, str]:
    return {"cudnn_conv_algo_search": "HEURISTIC", **({"use_tf32": "0"} if variant == "fp32" else {})}


def _opens(bundle: Any, variant: str) -> str:
    """The variant that the toolkit opens for the one that is asked for, its probe replayed; or why it opens none."""
    try:
        return open_session(bundle, device="cuda", variant=variant).variant
    except Exception as error:  # noqa: BLE001 - told as the figure
        return in_words(error)


def _compared(found: Answers, expected: Answers) -> dict[str, Any]:
    same = [found[target].argmax(1) == expected[target].argmax(1) for target in expected]
    numbers = all(np.isfinite(found[target]).all() for target in expected)
    return {"off": _off(found, expected), "same_label": float(np.mean(np.all(same, axis=0))), "nan": not numbers}


def _off(found: Answers, expected: Answers) -> float:
    return max(float(np.abs(found[target] - expected[target]).max()) for target in expected)
