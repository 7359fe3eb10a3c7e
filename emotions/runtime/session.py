"""ONNX Runtime sessions: which variant, on which device, with how many threads."""

from __future__ import annotations

import contextlib
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.manifest import EMBEDDING, LENGTH, WAVEFORM, Bundle
from emotions.bundle.probe import read_probe
from emotions.bundle.variants import choose_variant
from emotions.errors import BundleError, DeviceError, first_line
from emotions.runtime.batch_shape import Probabilities, Run, length_bucketed
from emotions.runtime.devices import CUDA, cuda_usable
from emotions.runtime.io_binding import IOBindingPool
from emotions.runtime.load_check import check_graph

Device = Literal["cpu", "cuda"]
DeviceChoice = Literal["auto", "cpu", "cuda"]

PROBE_TOLERANCE = 1e-4
"""As much as the proof of the export allows: another CPU rounds otherwise."""
# Of dynamic windows in one run, padding included: a base-size encoder takes about 20 MB for each second.
_MAX_SAMPLES = {"cpu": 60 * 16_000, "cuda": 600 * 16_000}
# Least length of a window as a share of the longest of its run: a CPU computes padding like anything else, and gains
# next to nothing from batches; a GPU gains more from them than padding costs.
_MIN_FILL = {"cpu": 0.9, "cuda": 0.0}
_NEWER = re.compile(r"\b(Opset|IR version):? (\d+)")
# ONNX Runtime's exceptions have no common base but Exception.
_ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(e for e in vars(ort_errors).values() if isinstance(e, type) and issubclass(e, Exception)),
)


@dataclass(frozen=True)
class Session:
    """A loaded model: ``run`` is safe to call from several threads, each run takes ``threads`` of the CPU."""

    run: Run
    device: Device
    variant: str
    threads: int


def available_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """CPU cores that this process may use: those it may run on, or fewer where its container has a quota.

    Args:
        quota: file of the control group (cgroup v2): ``max 100000``, or microseconds of CPU in each period.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, period = quota.read_text().split()
        return min(cores, max(1, math.ceil(int(allowed) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):
        return cores


def open_session(
    bundle: Bundle,
    *,
    device: DeviceChoice = "auto",
    variant: str | None = None,
    threads: int | None = None,
    device_id: int = 0,
    embedding: bool = False,
) -> Session:
    """Load a bundle's model and replay its probe.

    Args:
        bundle: an opened bundle.
        device: ``auto`` takes a usable GPU, else the CPU.
        variant: one of the bundle's ONNX variants; by default, or for ``auto``, the one that suits the device.
        threads: CPU threads of one run; by default the cores of this process.
        device_id: which GPU.
        embedding: answer the bundle's embedding, too, as ``EMBEDDING``: (batch, dims) float32.

    Raises:
        DeviceError: the device asked for cannot be used; the CPU never stands in for a GPU that was asked for.
        BundleError: the model cannot be loaded, does not answer as it did at export, or has no embedding; or it is new
            on this machine, and takes more memory or time than ``check_graph`` allows.
    """
    if embedding and EMBEDDING not in bundle.manifest.extra:
        raise BundleError(f"{bundle.path}: answers no embedding; export it anew with one")
    threads = threads or available_cores()
    if device == "auto":
        with contextlib.suppress(DeviceError):
            return _open_on("cuda", bundle, variant, threads, device_id, embedding)
        device = "cpu"
    return _open_on(device, bundle, variant, threads, device_id, embedding)


def _open_on(
    device: Device, bundle: Bundle, variant: str | None, threads: int, device_id: int, embedding: bool
) -> Session:
    name = choose_variant(bundle, device, variant)
    if device == "cuda":
        _need_cuda()
    check_graph(bundle, name, device, threads)
    return _open(device, bundle, name, threads, device_id, embedding=embedding)


def open_unchecked(bundle: Bundle, variant: str, threads: int) -> Session:
    """Load one variant on the CPU and replay its probe, in this process and without limits. Raises as ``open_session``.

    Args:
        bundle: an opened bundle.
        variant: one of its ONNX variants.
        threads: CPU threads of one run.
    """
    return _open("cpu", bundle, variant, threads, 0, embedding=bundle.manifest.embedding is not None)


def _open(device: Device, bundle: Bundle, name: str, threads: int, device_id: int, *, embedding: bool) -> Session:
    bundle.check_unchanged()
    session = _load(bundle.file(name), device, threads, device_id)
    widths = {target: len(labels) for target, labels in bundle.manifest.targets.items()}
    if embedding and bundle.manifest.embedding:
        widths[EMBEDDING] = int(bundle.manifest.embedding.shape[1])
    window = bundle.manifest.window
    run = onnx_run(session, [*widths])
    if window.dynamic:
        run = length_bucketed(run, _MAX_SAMPLES[device], _MIN_FILL[device])
    elif device == "cuda":  # on a CPU a run between bound buffers saves only copies, and costs more than they do
        run = IOBindingPool(session, window.samples, widths, device, device_id)
    opened = Session(run, device, name, threads)
    _replay_probe(bundle, opened)
    bundle.check_unchanged()
    return opened


def onnx_session(path: Path, threads: int) -> ort.InferenceSession:
    """Open a bare CPU session.

    Args:
        path: an ONNX file; BundleError where ONNX Runtime cannot load it.
        threads: CPU threads of one run.
    """
    return _load(path, "cpu", threads, 0)


def onnx_run(session: ort.InferenceSession, outputs: list[str]) -> Run:
    """A session on a bundle's graph as a ``Run``.

    Args:
        session: an ONNX Runtime session.
        outputs: names of the outputs to compute.
    """

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        return dict(zip(outputs, session.run(outputs, {WAVEFORM: waveform, LENGTH: length}), strict=True))

    return run


def _load(path: Path, device: str, threads: int, device_id: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A memory plan is kept for each batch size and gains no speed: a folder run would grow with every new size.
    options.enable_mem_pattern = False
    # Spinning threads would take the cores from the decoders and from other sessions.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(path), options, providers=_providers(device, device_id))
    except _ORT_ERRORS as error:
        raise BundleError(f"{path}: ONNX Runtime cannot load it ({_reason(error)})") from error
    if device == "cuda" and session.get_providers()[0] != CUDA:
        raise DeviceError("a GPU was asked for, but ONNX Runtime fell back to the CPU: is the extra 'serve-gpu' there?")
    return session


def _reason(error: Exception) -> str:
    """Why a model does not load, in one line; for an opset or IR version that is too new, with the remedy."""
    newer = _NEWER.search(str(error))
    if newer is None:
        return first_line(error)
    return f"{newer[1]} {newer[2]} is newer than ONNX Runtime {ort.__version__} reads; update onnxruntime"


def _providers(device: str, device_id: int) -> list[str | tuple[str, dict[str, str]]]:
    if device == "cpu":
        return ["CPUExecutionProvider"]
    _need_cuda()
    ort.preload_dlls()
    # HEURISTIC: the default search costs half a second per new shape. No TF32: answers equal the CPU's.
    cuda = {"device_id": str(device_id), "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
    return [(CUDA, cuda), "CPUExecutionProvider"]


def _need_cuda() -> None:
    if not cuda_usable():
        raise DeviceError("a GPU was asked for, but no NVIDIA GPU is usable here (device 'cpu' needs none)")


def _replay_probe(bundle: Bundle, session: Session) -> None:
    """Refuse a session that does not answer as the exported model did."""
    probe = read_probe(bundle)
    try:
        answers = session.run(probe.waveform, probe.length)
    except _ORT_ERRORS as error:
        raise BundleError(f"{bundle.path}: the model fails on its probe ({first_line(error)})") from error
    tolerance = PROBE_TOLERANCE + 2 * bundle.manifest.variants[session.variant].max_abs_diff
    for target, expected in probe.probabilities.items():
        same_shape = answers[target].shape == expected.shape
        difference = float(np.abs(answers[target] - expected).max(initial=0)) if same_shape else np.inf
        if not difference <= tolerance:
            raise BundleError(
                f"{bundle.path}: on {session.device} the {session.variant} model answers its probe otherwise than "
                f"at export ({target}: differs by {difference:.1e}, at most {tolerance:.1e} is allowed)"
            )
