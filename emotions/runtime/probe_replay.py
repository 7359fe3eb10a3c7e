"""The probe of a bundle: signals that a model must answer as it did at export."""

from __future__ import annotations

import numpy as np

from emotions.bundle.bundle import Bundle
from emotions.bundle.probe import read_probe
from emotions.errors import BundleError, DeviceError, DeviceLost, OutOfMemory, first_line
from emotions.runtime.batch_shape import Run
from emotions.runtime.failures import ORT_ERRORS
from emotions.runtime.gpu_causes import unusable

PROBE_TOLERANCE = 1e-4
"""As much as the proof of the export allows: another CPU rounds otherwise."""


class ProbeMissed(BundleError):
    """A model does not answer as it did at export."""


def probe_tolerance(bundle: Bundle, variant: str) -> float:
    """By how much the answers of a variant may differ from those of the probe."""
    return PROBE_TOLERANCE + 2 * bundle.manifest.variants[variant].max_abs_diff


def replay_probe(bundle: Bundle, run: Run, variant: str, device: str, device_id: int) -> None:
    """Refuse a model that does not answer as it did at export.

    Args:
        bundle: has the probe.
        run: the model.
        variant: which form of it.
        device: where it runs, ``cpu`` or ``cuda``.
        device_id: which GPU.

    Raises:
        ProbeMissed: it answers otherwise.
        DeviceError: the GPU cannot be used.
        BundleError: the model fails.
    """
    probe = read_probe(bundle)
    try:
        answers = run(probe.waveform, probe.length)
    except ORT_ERRORS as error:
        raise _failed(bundle, device, error, device_id) from error
    except (OutOfMemory, DeviceLost) as error:
        raise _failed(bundle, device, error.__cause__ or error, device_id) from error.__cause__
    tolerance = probe_tolerance(bundle, variant)
    for target, difference in probe.differences(answers).items():
        found = answers[target]
        if not difference <= tolerance:
            how = f"differs by {difference:.1e}, at most {tolerance:.1e} is allowed"
            raise ProbeMissed(
                f"{bundle.path}: on {device} the {variant} model answers its probe otherwise than "
                f"at export ({target}: {how if np.isfinite(found).all() else 'it answers NaN or infinity'})"
            )


def _failed(bundle: Bundle, device: str, error: BaseException, device_id: int) -> DeviceError | BundleError:
    if device == "cuda":
        return unusable(error, device_id)
    return BundleError(f"{bundle.path}: the model fails on its probe ({first_line(error)})")
