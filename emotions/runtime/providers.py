"""ONNX Runtime on a GPU: how its CUDA provider is asked for."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnxruntime as ort

from emotions.runtime.devices import CUDA
from emotions.runtime.failures import ORT_ERRORS, is_of_device
from emotions.runtime.gpu_causes import missing_library, need_card, unusable
from emotions.runtime.library_check import BROKEN
from emotions.runtime.tensorrt import refusal

_SILENT, _WARNINGS = 4, 2
_NONE: Mapping[str, str] = {}


def cuda_session(
    path: Path,
    options: ort.SessionOptions,
    device_id: int = 0,
    *,
    half: bool = False,
    settings: Mapping[str, str] = _NONE,
    before: tuple[str, dict[str, str]] | None = None,
) -> ort.InferenceSession:
    """Open a session on a GPU, with nothing on standard output; the CPU never stands in for it.

    Args:
        path: an ONNX file.
        options: of the session.
        device_id: which GPU.
        half: whether the graph computes in fp16.
        settings: of the provider, in place of or beside those of ``cuda_options``.
        before: a provider and its options that takes what it can; CUDA has the rest.

    Raises:
        DeviceError: the GPU cannot be used; says why.
    """
    need_card()
    # One that is only missing there may be here: a program may have loaded it from a place of its own.
    if missing_library().startswith(BROKEN):
        raise unusable(None, device_id)
    _preload()
    try:
        with _no_log():
            asked = {**cuda_options(device_id, half=half), **settings}
            providers = [*([before] if before else []), (CUDA, asked), "CPUExecutionProvider"]
            session = ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except ORT_ERRORS as error:
        if is_of_device(error):
            raise unusable(error, device_id) from error
        raise
    taken = session.get_providers()  # where a provider does not load, ONNX Runtime goes on without it
    if CUDA not in taken:
        raise unusable(None, device_id)
    if before and before[0] not in taken:
        raise refusal()
    return session


def cuda_options(device_id: int, *, half: bool) -> dict[str, str]:
    """The provider's options.

    Args:
        device_id: which GPU.
        half: whether the graph computes in fp16.
    """
    # HEURISTIC: the default search costs half a second per new shape.
    options = {"device_id": str(device_id), "cudnn_conv_algo_search": "HEURISTIC"}
    # Without TF32 answers in fp32 equal the CPU's. fp16 is left alone: the switch would keep convolutions of any type
    # from the tensor cores.
    return options if half else {**options, "use_tf32": "0"}


def _preload() -> None:
    """Load CUDA and cuDNN from their wheels; ONNX Runtime prints what it does not find, and we find that out later."""
    with contextlib.redirect_stdout(io.StringIO()):
        ort.preload_dlls()


@contextlib.contextmanager
def _no_log() -> Iterator[None]:
    """Keep ONNX Runtime from logging several lines about a provider that does not load."""
    ort.set_default_logger_severity(_SILENT)
    try:
        yield
    finally:
        ort.set_default_logger_severity(_WARNINGS)
