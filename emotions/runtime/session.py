"""ONNX Runtime sessions: which variant, on which device, with how many threads."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import onnxruntime as ort

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.bundle import Bundle
from emotions.bundle.manifest import EMBEDDING, LENGTH, WAVEFORM
from emotions.bundle.probe import read_probe
from emotions.bundle.variants import AUTO, FP16, FP32, choose_variant
from emotions.errors import BundleError, DeviceError, first_line
from emotions.runtime.batch_limit import BatchLimit
from emotions.runtime.batch_shape import CPU_SHAPES, GPU_SHAPES, Probabilities, Run, ShapedRun, Shapes
from emotions.runtime.cores import available_cores
from emotions.runtime.cuda_graphs import graph_settings, in_one_thread
from emotions.runtime.devices import MAX_PARALLEL_BATCHES, card_present
from emotions.runtime.failures import ORT_ERRORS
from emotions.runtime.gpu_causes import need_card, versions
from emotions.runtime.io_binding import Buffers, gpu_run
from emotions.runtime.load_check import check_graph
from emotions.runtime.probe_replay import ProbeMissed, probe_tolerance, replay_probe
from emotions.runtime.providers import cuda_session
from emotions.runtime.settings_trial import Trial, tried_settings
from emotions.runtime.tensorrt import tensorrt_provider

Device = Literal["cpu", "cuda"]
DeviceChoice = Literal["auto", "cpu", "cuda"]

# Of dynamic windows in all runs at once on a CPU, padding included: a base-size encoder takes about 20 MB a second.
_CPU_MAX_SAMPLES = 60 * SAMPLE_RATE
_TRIAL_SAMPLES = 5 * SAMPLE_RATE
_NEWER = re.compile(r"\b(Opset|IR version):? (\d+)")

logger = logging.getLogger("emotions")


@dataclass(frozen=True)
class Session:
    """A loaded model: ``run`` is safe to call from several threads, each run takes ``threads`` of the CPU."""

    run: Run
    device: Device
    variant: str
    threads: int
    shapes: Shapes = CPU_SHAPES


def open_session(
    bundle: Bundle,
    *,
    device: DeviceChoice = "auto",
    variant: str | None = None,
    threads: int | None = None,
    device_id: int = 0,
    embedding: bool = False,
    streams: int = 1,
) -> Session:
    """Load a bundle's model and replay its probe.

    Args:
        bundle: an opened bundle.
        device: ``auto`` takes a usable GPU, else the CPU; the log has why one that is there is not taken.
        variant: one of the bundle's ONNX variants; by default, or for ``auto``, the one that suits the device, and fp32
            on a GPU where that one does not answer its probe.
        threads: CPU threads of one run; by default the cores of this process.
        device_id: which GPU.
        embedding: answer the bundle's embedding, too, as ``EMBEDDING``: (batch, dims) float32.
        streams: batches that will run at once; on a GPU each has sessions and buffers of its own.

    Raises:
        DeviceError: the device asked for cannot be used; the CPU never stands in for a GPU that was asked for.
        BundleError: the model cannot be loaded, does not answer as it did at export, or has no embedding; or it is new
            on this machine, and takes more memory or time than ``check_graph`` allows.
    """
    if embedding and EMBEDDING not in bundle.manifest.extra:
        raise BundleError(f"{bundle.path}: answers no embedding; export it anew with one")
    place = _Place(threads or available_cores(), device_id, embedding, streams)
    if device == "auto":
        device = "cpu"
        if card_present() and _suits_gpu(bundle, variant):
            try:
                return _open_on("cuda", bundle, variant, place)
            except DeviceError as error:
                logger.warning("%s; the CPU is used instead", error)
    return _open_on(device, bundle, variant, place)


def _suits_gpu(bundle: Bundle, variant: str | None) -> bool:
    """Whether the variant, where one is named, is not made for CPUs."""
    try:
        choose_variant(bundle, "cuda", variant)
    except DeviceError:
        return False
    return True


@dataclass(frozen=True)
class _Place:
    """How a session is opened, whatever the device: arguments of ``open_session``."""

    threads: int
    device_id: int = 0
    embedding: bool = False
    streams: int = 1


def _open_on(device: Device, bundle: Bundle, variant: str | None, place: _Place) -> Session:
    name = choose_variant(bundle, device, variant)
    if device == "cuda":
        need_card()
    check_graph(bundle, name, device, place.threads)
    try:
        return _open(device, bundle, name, place)
    except ProbeMissed as error:
        if device == "cpu" or name == FP32:
            raise
        if variant not in (None, AUTO):
            raise BundleError(f"{error}; name another variant, such as {FP32}") from error
        logger.warning("%s; %s runs instead", error, FP32)
    return _open_on(device, bundle, FP32, place)


def open_unchecked(bundle: Bundle, variant: str, threads: int) -> Session:
    """Load one variant on the CPU and replay its probe, in this process and without limits. Raises as ``open_session``.

    Args:
        bundle: an opened bundle.
        variant: one of its ONNX variants.
        threads: CPU threads of one run.
    """
    return _open("cpu", bundle, variant, _Place(threads, embedding=bundle.manifest.embedding is not None))


def _open(device: Device, bundle: Bundle, name: str, place: _Place) -> Session:
    bundle.check_unchanged()
    run, shapes = _cpu_run(bundle, name, place) if device == "cpu" else _gpu_run(bundle, name, place)
    opened = Session(run, device, name, place.threads, shapes)
    replay_probe(bundle, run, name, device, place.device_id)
    bundle.check_unchanged()
    return opened


def _cpu_run(bundle: Bundle, name: str, place: _Place) -> tuple[Run, Shapes]:
    # Without bound buffers: on a CPU they save only copies, and cost more than they do.
    run = onnx_run(onnx_session(bundle.file(name), place.threads), [*_widths(bundle, place)])
    longest = _longest(bundle)
    if longest is None:  # a batch has one shape already
        return run, CPU_SHAPES
    share = 1 if bundle.manifest.window.long else MAX_PARALLEL_BATCHES
    return ShapedRun(run, CPU_SHAPES, longest=longest, limit=BatchLimit(_CPU_MAX_SAMPLES // share)), CPU_SHAPES


def _gpu_run(bundle: Bundle, name: str, place: _Place) -> tuple[Run, Shapes]:
    path, window, tensorrt = bundle.file(name), bundle.manifest.window, tensorrt_provider(bundle, name, place.device_id)
    graphs = graph_settings(bundle)

    def opened(settings: Mapping[str, str]) -> ort.InferenceSession:
        with _loading(path):
            half, options, chosen = name == FP16, _options(place.threads), {**settings, **graphs}
            return cuda_session(path, options, place.device_id, half=half, settings=chosen, before=tensorrt)

    buffers = Buffers(_widths(bundle, place), "cuda", place.device_id, bool(graphs))
    trial = Trial(
        opened,
        buffers,
        about=(bundle.manifest.variants[name].sha256, *versions(place.device_id), *graphs),
        samples=min(window.samples, _TRIAL_SAMPLES),
        one_size=not window.dynamic,
        probe=read_probe(bundle),
        tolerance=probe_tolerance(bundle, name),
    )
    another = partial(opened, {} if tensorrt else tried_settings(trial))
    streams = 1 if graphs else place.streams
    run: Run = gpu_run(another, buffers, path.stat().st_size, streams=streams, longest=_longest(bundle))
    return (in_one_thread(run) if graphs else run), GPU_SHAPES


def _longest(bundle: Bundle) -> int | None:
    """Samples of the longest window, where windows are of any length."""
    window = bundle.manifest.window
    return window.samples if window.dynamic else None


def _widths(bundle: Bundle, place: _Place) -> dict[str, int]:
    """The outputs to compute, and how wide each is."""
    widths = {target: len(labels) for target, labels in bundle.manifest.targets.items()}
    if place.embedding and bundle.manifest.embedding:
        widths[EMBEDDING] = int(bundle.manifest.embedding.shape[1])
    return widths


def onnx_session(path: Path, threads: int) -> ort.InferenceSession:
    """Open a bare CPU session.

    Args:
        path: an ONNX file; BundleError where ONNX Runtime cannot load it.
        threads: CPU threads of one run.
    """
    with _loading(path):
        return ort.InferenceSession(str(path), _options(threads), providers=["CPUExecutionProvider"], enable_fallback=0)


def onnx_run(session: ort.InferenceSession, outputs: list[str]) -> Run:
    """A session on a bundle's graph as a ``Run``.

    Args:
        session: an ONNX Runtime session.
        outputs: names of the outputs to compute.
    """

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        return dict(zip(outputs, session.run(outputs, {WAVEFORM: waveform, LENGTH: length}), strict=True))

    return run


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it would log is in its exceptions, too
    # A memory plan is kept for each batch size and gains no speed: a folder run would grow with every new size.
    options.enable_mem_pattern = False
    # Spinning threads would take the cores from the decoders and from other sessions.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


@contextlib.contextmanager
def _loading(path: Path) -> Iterator[None]:
    """Turn what ONNX Runtime raises about a model into a BundleError."""
    try:
        yield
    except ORT_ERRORS as error:
        raise BundleError(f"{path}: ONNX Runtime cannot load it ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """Why a model does not load, in one line; for an opset or IR version that is too new, with the remedy."""
    newer = _NEWER.search(str(error))
    if newer is None:
        return first_line(error)
    return f"{newer[1]} {newer[2]} is newer than ONNX Runtime {ort.__version__} reads; update onnxruntime"
