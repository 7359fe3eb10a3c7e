"""The probe: signals with known answers, replayed by every process that loads a bundle before it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotions.bundle import LENGTH, WAVEFORM, Bundle
from emotions.errors import BundleError
from emotions.windows import FloatArray, IntArray

PROBE = "probe.npz"


@dataclass(frozen=True)
class Probe:
    """Signals with known answers.

    Attributes:
        waveform: (clips, samples) float32, zero-padded.
        length: (clips,) int64, real samples of each.
        probabilities: target -> (clips, classes) float32, as the fp32 variant gave them at export.
    """

    waveform: FloatArray
    length: IntArray
    probabilities: dict[str, FloatArray]


def write_probe(folder: Path, probe: Probe) -> None:
    """Write ``probe.npz``."""
    answers: Mapping[str, Any] = {f"probabilities/{name}": value for name, value in probe.probabilities.items()}
    np.savez_compressed(folder / PROBE, allow_pickle=False, waveform=probe.waveform, length=probe.length, **answers)


def read_probe(bundle: Bundle) -> Probe:
    """Read ``probe.npz``.

    Raises:
        BundleError: it is missing or is not a probe of this bundle's targets.
    """
    try:
        with np.load(bundle.path / PROBE, allow_pickle=False) as arrays:
            answers = {target: arrays[f"probabilities/{target}"] for target in bundle.manifest.targets}
            return Probe(arrays[WAVEFORM], arrays[LENGTH], answers)
    except (OSError, KeyError, ValueError) as error:
        raise BundleError(f"{bundle.path}: {PROBE} cannot be read ({error})") from error
