"""TensorRT in place of ONNX Runtime's own kernels, where it is asked for: its options, and the cache of its engines.

An engine is built for a model, a card and a range of shapes, which takes minutes; it is kept in the user's cache, and
all sessions and later starts read it. Its batches are those of ``GPU_SHAPES``, its windows all of one size: for windows
of any length an engine would be built anew for lengths that it has not seen.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from pathlib import Path

import onnxruntime as ort

from emotions.bundle.bundle import Bundle
from emotions.bundle.manifest import LENGTH, WAVEFORM
from emotions.bundle.variants import FP16
from emotions.errors import ConfigError
from emotions.files.cache import cache_root, private_folder, tagged_folder
from emotions.runtime import gpu_causes, library_check
from emotions.runtime.batch_shape import GPU_SHAPES

SWITCH = "EMOTIONS_GPU_PROVIDER"
"""Environment variable: ``cuda``, the default, or ``tensorrt``."""
TENSORRT = "TensorrtExecutionProvider"
_USUAL_BATCH = 16
"""Windows of a batch that the kernels of an engine are chosen for."""


def tensorrt_provider(bundle: Bundle, variant: str, device_id: int) -> tuple[str, dict[str, str]] | None:
    """The provider with its options; None where it is not asked for, or where the GPU cannot be used at all.

    Args:
        bundle: an opened bundle.
        variant: the one that runs.
        device_id: which GPU.

    Raises:
        ConfigError: TensorRT is asked for and cannot be had, or does not suit the bundle; the switch is another word.
    """
    if not _asked() or gpu_causes.gpu_fault(device_id):
        return None
    if bundle.manifest.window.dynamic:
        raise ConfigError(
            f"{SWITCH}=tensorrt: the windows of {bundle.path} are of any length, for which engines are built again and "
            f"again; leave {SWITCH} unset"
        )
    if found := library_check.library_fault(library_check.libraries("tensorrt")):
        raise ConfigError(f"{SWITCH}=tensorrt: {found}; install TensorRT, or leave {SWITCH} unset")
    for library in library_check.tensorrt_wheel():
        ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    return TENSORRT, _options(bundle, variant, device_id)


def refusal() -> ConfigError:
    """The error where ONNX Runtime leaves TensorRT out without a word."""
    return ConfigError(f"{SWITCH}=tensorrt: ONNX Runtime does not take TensorRT here; leave {SWITCH} unset")


def _asked() -> bool:
    named = os.environ.get(SWITCH) or "cuda"
    if named not in ("cuda", "tensorrt"):
        raise ConfigError(f"{SWITCH}={named!r}: must be cuda or tensorrt")
    if named == "tensorrt" and TENSORRT not in ort.get_available_providers():
        raise ConfigError(
            f"{SWITCH}=tensorrt: ONNX Runtime {ort.__version__} is built without TensorRT; leave {SWITCH} unset"
        )
    return named == "tensorrt"


def _options(bundle: Bundle, variant: str, device_id: int) -> dict[str, str]:
    folder, samples = str(_engines(bundle, variant, device_id)), bundle.manifest.window.samples
    sizes = {"min": 1, "opt": _USUAL_BATCH, "max": GPU_SHAPES.batches[-1]}
    shapes = {name: f"{WAVEFORM}:{size}x{samples},{LENGTH}:{size}" for name, size in sizes.items()}
    return {
        "device_id": str(device_id),
        "trt_fp16_enable": str(variant == FP16),
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": folder,
        **{f"trt_profile_{name}_shapes": shape for name, shape in shapes.items()},
    }


def _engines(bundle: Bundle, variant: str, device_id: int) -> Path:
    """The folder of the engines of a model on a card: an engine is machine code, so it is this user's own."""
    about = "\n".join([bundle.manifest.variants[variant].sha256, *gpu_causes.versions(device_id)])
    root = cache_root() / "tensorrt"
    tagged_folder(root)
    folder = root / hashlib.sha256(about.encode()).hexdigest()
    private_folder(folder)
    return folder
