"""Which variant of a bundle runs: the one that is asked for, else the one that suits the device."""

from __future__ import annotations

from emotions.bundle.bundle import Bundle
from emotions.bundle.manifest import Manifest
from emotions.errors import BundleError, DeviceError

AUTO = "auto"
"""Asks for the variant that suits the device, as asking for none does."""
FP32, FP16 = "fp32", "fp16"
"""Names of the variant that every bundle has, and of the one that GPUs prefer."""
LOSSY = "lossy"
"""Key of the manifest's ``extra``: the variants that lose more than they may, kept on the user's request."""

# The smaller ones first, where they are faster (made for the device) and not listed as lossy: they answer as fp32 does.
_PREFERRED: dict[str, tuple[str, ...]] = {"cuda": ("fp16", "fp32"), "cpu": ("int8", "fp32")}
_MADE_FOR = {"cuda": ("cuda", "any"), "cpu": ("cpu", "any")}


def choose_variant(bundle: Bundle, device: str, asked: str | None = None) -> str:
    """The variant of a bundle to load: the same for the service, for folders and for Python.

    Args:
        bundle: an opened bundle.
        device: ``cpu`` or ``cuda``.
        asked: its name; None or ``auto`` for fp16 on a GPU, int8 on a CPU where it is there and not lossy, else fp32.

    Raises:
        BundleError: the bundle has no such variant, or it is not ONNX.
        DeviceError: it does not run on the device.
    """
    variants = bundle.manifest.variants
    if asked is not None and asked != AUTO:
        return _checked(bundle, device, asked)
    passed_over = lossy(bundle.manifest)
    for name in _PREFERRED[device]:
        made_for = variants[name].device if name in variants and name not in passed_over else None
        if made_for == device or (name == FP32 and made_for == "any"):
            return name
    raise DeviceError(f"{bundle.path}: has no variant that runs on {device}")


def lossy(manifest: Manifest) -> list[str]:
    """The variants that the export's gate did not keep and the user did: they run only where they are named."""
    named = manifest.extra.get(LOSSY)
    return [str(name) for name in named] if isinstance(named, list) else []


def _checked(bundle: Bundle, device: str, name: str) -> str:
    found = bundle.manifest.variants.get(name)
    runnable = [other for other, variant in bundle.manifest.variants.items() if variant.file.endswith(".onnx")]
    if found is None or name not in runnable:
        what = "has no variant" if found is None else "does not run, with ONNX Runtime, the variant"
        raise BundleError(f"{bundle.path}: {what} {name!r}; name one of {', '.join([AUTO, *runnable])}")
    # What is made for GPUs runs on a CPU, slowly; what is made for CPUs has operators that GPUs lack.
    if device == "cuda" and found.device not in _MADE_FOR[device]:
        raise DeviceError(f"{bundle.path}: the variant {name} is made for {found.device}, not for {device}")
    return name
