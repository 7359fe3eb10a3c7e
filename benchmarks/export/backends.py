"""One bundle in every runtime that is at hand: windows a second, and in the same run whether the answers agree.

A runtime that cannot run is named with the reason, so that a table without it is no surprise.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
import torch

from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.bundle import Bundle, read_bundle
from emotions.bundle.manifest import LENGTH, WAVEFORM
from emotions.runtime.batch_shape import Probabilities, Run
from emotions.runtime.session import open_session
from export.graph.torch_programs import open_pt2, open_torchscript
from export.proof.signals import padded, synthetic_voices
from serving.benchmark.driver.interleaved import interleaved, seconds_of

BATCHES = (1, 8)
"""Windows in a batch of the races."""
REFERENCE = "onnxruntime cpu, fp32"
_TENSORRT = "TensorrtExecutionProvider"


@dataclass(frozen=True)
class Row:
    """A runtime at one batch size.

    Attributes:
        name: of the runtime, and of the bundle's variant that it ran.
        batch: windows in a batch.
        windows_per_sec: median, lowest and highest of the rounds.
        max_abs_diff: largest difference of a probability to ONNX Runtime's in fp32.
        agreement: share of windows with the same label for every target.
    """

    name: str
    batch: int
    windows_per_sec: dict[str, float]
    max_abs_diff: float
    agreement: float


@dataclass
class Backends:
    """What was measured, and what was not: name -> reason."""

    rows: list[Row] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)


def measure(path: Path, threads: int, rounds: int, *, compiled: bool = True) -> Backends:
    """Race every runtime on the same windows.

    Args:
        path: the bundle.
        threads: CPU threads of every side.
        rounds: of each race, after one that warms up.
        compiled: measure ``torch.compile`` as well, which takes a minute to compile.

    Raises:
        BundleError, DeviceError: ONNX Runtime on the CPU, which all are compared with, does not open the bundle.
    """
    torch.set_num_threads(threads)
    bundle, measured = read_bundle(path), Backends()
    opened: dict[str, Run] = {}
    for name, load in openers(bundle, threads).items():
        if name.startswith("torch.compile") and not compiled:
            measured.not_run[name] = "left out: a quick run does not wait for the compiler"
            continue
        try:
            opened[name] = load()
        except Exception as error:
            if name == REFERENCE:
                raise
            measured.not_run[name] = _reason(error)
    for size in BATCHES:
        measured.rows += _raced(bundle, opened, size, rounds, measured.not_run)
    return measured


def _reason(error: Exception) -> str:
    """Why a runtime cannot run, in one line: whatever stops one, the others are measured."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


class NotHere(Exception):
    """A runtime is not installed, or the bundle lacks what it needs."""


def openers(bundle: Bundle, threads: int) -> dict[str, Callable[[], Run]]:
    """How to open a bundle in each runtime.

    Args:
        bundle: the bundle.
        threads: CPU threads of each runtime.

    Returns:
        Name of the runtime -> a function that opens the bundle in it, or raises why it cannot.
    """
    variants = [name for name, variant in bundle.manifest.variants.items() if variant.file.endswith(".onnx")]

    def session(device: Literal["cpu", "cuda"], name: str) -> Callable[[], Run]:
        return lambda: open_session(bundle, device=device, variant=name, threads=threads).run

    onnx = {f"onnxruntime cpu, {name}": session("cpu", name) for name in variants}
    return {
        **onnx,
        **{f"onnxruntime cuda, {name}": session("cuda", name) for name in variants if name != "int8"},
        "onnxruntime tensorrt, fp32": lambda: _tensorrt(bundle),
        "torch eager, pt2": lambda: open_pt2(_file(bundle, "pt2"), [*bundle.manifest.targets]),
        "torch.compile, pt2": lambda: _compiled(bundle),
        "torchscript": lambda: open_torchscript(_file(bundle, "torchscript"), [*bundle.manifest.targets]),
        "openvino, fp32": lambda: _openvino(bundle, threads),
    }


def opened(bundle: Bundle, name: str, threads: int) -> Run:
    """A variant of a bundle in the runtime that it is made for, on the CPU.

    Args:
        bundle: the bundle.
        name: of the variant.
        threads: CPU threads.
    """
    kinds = {".onnx": f"onnxruntime cpu, {name}", ".ts": "torchscript", ".pt2": "torch eager, pt2"}
    return openers(bundle, threads)[kinds[bundle.file(name).suffix]]()


def _file(bundle: Bundle, name: str) -> Path:
    if name not in bundle.manifest.variants:
        raise NotHere(f"the bundle has no {name}; export it with one")
    return bundle.file(name)


def _tensorrt(bundle: Bundle) -> Run:
    if _TENSORRT not in ort.get_available_providers():
        raise NotHere("this ONNX Runtime has no TensorRT")
    open_session(bundle, device="cuda")  # says what a GPU lacks, in a line
    session = ort.InferenceSession(str(bundle.file("fp32")), providers=[_TENSORRT, "CUDAExecutionProvider"])
    if session.get_providers()[0] != _TENSORRT:
        raise NotHere("TensorRT is not usable here")
    targets = [*bundle.manifest.targets]
    return lambda waveform, length: dict(
        zip(targets, session.run(targets, {WAVEFORM: waveform, LENGTH: length}), strict=True)
    )


def _compiled(bundle: Bundle) -> Run:
    module: Any = torch.export.load(_file(bundle, "pt2")).module()
    program: Any = torch.compile(module)
    targets = [*bundle.manifest.targets]

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler's own making
            answers = program(torch.from_numpy(waveform), torch.from_numpy(length))
        return {target: answer.numpy() for target, answer in zip(targets, answers, strict=False)}

    return run


def _openvino(bundle: Bundle, threads: int) -> Run:
    if find_spec("openvino") is None:
        raise NotHere("openvino is not installed; pip install openvino")
    import openvino

    core = openvino.Core()
    # By default it computes in bf16 where the CPU can, which is another variant than the one that it is given.
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    model = core.compile_model(str(bundle.file("fp32")), "CPU", settings)
    targets = [*bundle.manifest.targets]

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        answers = model({WAVEFORM: waveform, LENGTH: length})
        return {target: np.asarray(answers[target]) for target in targets}

    return run


def _raced(bundle: Bundle, opened: Mapping[str, Run], size: int, rounds: int, not_run: dict[str, str]) -> list[Row]:
    window = bundle.manifest.window.samples
    waveform, length = padded(synthetic_voices(size, window, 0), window)
    lengths = np.asarray(length, np.int64)
    answers: dict[str, Probabilities] = {}
    for name, run in opened.items():
        try:
            answers[name] = run(waveform, lengths)
        except Exception as error:  # noqa: BLE001 - see _reason
            not_run[f"{name}, batch {size}"] = _reason(error)

    def timed(run: Run) -> Callable[[], float]:
        return seconds_of(lambda: run(waveform, lengths))

    taken = interleaved({name: timed(opened[name]) for name in answers}, rounds)
    return [_row(name, size, taken[name], answers[name], answers[REFERENCE]) for name in answers]


def _row(name: str, size: int, seconds: list[float], answer: Probabilities, expected: Probabilities) -> Row:
    speeds = [size / each for each in seconds]
    spread = {"median": statistics.median(speeds), "min": min(speeds), "max": max(speeds)}
    difference = max(float(np.abs(answer[target] - expected[target]).max()) for target in expected)
    same = [answer[target].argmax(1) == expected[target].argmax(1) for target in expected]
    return Row(name, size, spread, difference, float(np.mean(np.all(same, axis=0))))


def lines(measured: Backends) -> Iterator[str]:
    """A Markdown table, and below it what was not run."""
    yield "| runtime | windows/s, batch 1 | batch 8 | largest difference | same label |"
    yield "| --- | --- | --- | --- | --- |"
    by_name: dict[str, dict[int, Row]] = {}
    for row in measured.rows:
        by_name.setdefault(row.name, {})[row.batch] = row
    for name, rows in by_name.items():
        speeds = [f"{rows[size].windows_per_sec['median']:.1f}" if size in rows else "" for size in BATCHES]
        difference = max(row.max_abs_diff for row in rows.values())
        agreement = min(row.agreement for row in rows.values())
        yield f"| {name} | {' | '.join(speeds)} | {difference:.1e} | {agreement:.0%} |"
    for name, reason in measured.not_run.items():
        yield f"| {name} | not run: {reason} | | | |"
