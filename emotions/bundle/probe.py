"""The probe: signals with known answers, replayed by every process that loads a bundle before it answers."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from emotions.audio.windows import FloatArray, IntArray, Pooling
from emotions.bundle.bundle import Bundle
from emotions.bundle.manifest import LENGTH, PROBE, WAVEFORM, Window, stated_thresholds
from emotions.bundle.targets import Range
from emotions.errors import BundleError, first_line, plain
from emotions.files.content import UNREADABLE_ARRAYS

_THRESHOLDS = "thresholds"
_MAX_ARRAYS = 1_000
_MAX_BYTES = 256 << 20


@dataclass(frozen=True)
class Probe:
    """Signals with known answers.

    Attributes:
        waveform: (clips, samples) float32, zero-padded.
        length: (clips,) int64, real samples of each.
        probabilities: target -> (clips, classes) float32, as the fp32 variant gave them at export; the values
            of a target of dimensions.
        ranges: of the targets of dimensions.
    """

    waveform: FloatArray
    length: IntArray
    probabilities: dict[str, FloatArray]
    ranges: Mapping[str, Range] = field(default_factory=dict)

    def differences(self, answers: Mapping[str, FloatArray]) -> dict[str, float]:
        """Largest difference of each target's answers to the known ones, in widths of its range; infinite where none.

        Args:
            answers: target -> (clips, classes).
        """
        found = {}
        for target, expected in self.probabilities.items():
            low, high = self.ranges.get(target, (0.0, 1.0))
            same = answers[target].shape == expected.shape
            found[target] = float(np.abs(answers[target] - expected).max(initial=0)) / (high - low) if same else np.inf
        return found


def _contract(targets: Mapping[str, list[str]], window: Window, pooling: Pooling, ranges: Mapping[str, Range]) -> str:
    """What a user of the graph relies on, as JSON: labels in order, the window, how windows are pooled, and ranges."""
    content: dict[str, Any] = {"targets": targets, "window": window.model_dump()}
    if pooling != "mean":  # what it was before it could be told
        content["pooling"] = pooling
    if ranges:
        content["ranges"] = {target: [*map(float, bounds)] for target, bounds in ranges.items()}
    return json.dumps(content, ensure_ascii=True, separators=(",", ":"))


def write_probe(
    folder: Path,
    probe: Probe,
    targets: Mapping[str, list[str]],
    window: Window,
    pooling: Pooling = "mean",
    thresholds: Mapping[str, float | str] = MappingProxyType({}),
) -> None:
    """Write ``probe.npz``.

    Args:
        folder: the bundle's folder.
        probe: the signals and their probabilities.
        targets: those of the manifest; kept with window and pooling, so that none is changed without the probe.
        window: the same.
        pooling: the same.
        thresholds: those of the manifest's ``calibration``, likewise.
    """
    promise, limits = _contract(targets, window, pooling, probe.ranges), json.dumps(dict(thresholds))
    answers: Mapping[str, Any] = {f"probabilities/{name}": value for name, value in probe.probabilities.items()}
    signals: Mapping[str, Any] = {WAVEFORM: probe.waveform, LENGTH: probe.length}
    texts = {"contract": np.array(promise), _THRESHOLDS: np.array(limits)}
    np.savez_compressed(folder / PROBE, allow_pickle=False, **texts, **signals, **answers)


def read_probe(bundle: Bundle) -> Probe:
    """Read ``probe.npz``; BundleError where it is broken, empty, or not of this bundle's labels, window, thresholds."""
    try:
        _check_sizes(bundle.path / PROBE)
        with np.load(bundle.path / PROBE, allow_pickle=False) as arrays:
            promise = str(arrays["contract"])
            limits = json.loads(str(arrays[_THRESHOLDS])) if _THRESHOLDS in arrays.files else None
            answers = {target: arrays[f"probabilities/{target}"] for target in bundle.manifest.targets}
            probe = Probe(arrays[WAVEFORM], arrays[LENGTH], answers, bundle.manifest.ranges)
    except UNREADABLE_ARRAYS as error:
        raise BundleError(f"{bundle.path}: {PROBE} cannot be read ({plain(first_line(error))})") from error
    manifest = bundle.manifest
    if promise != _contract(manifest.targets, manifest.window, manifest.pooling, manifest.ranges):
        raise BundleError(f"{bundle.path}: the manifest's labels, window or pooling are not those of the export")
    # Bundles that were written before the probe covered thresholds have none there.
    if limits is not None and limits != stated_thresholds(manifest.calibration):
        raise BundleError(f"{bundle.path}: the manifest's thresholds are not those of the export")
    if not len(probe.length):
        raise BundleError(f"{bundle.path}: {PROBE} holds no signal")
    shapes = [probe.waveform.shape[:1], probe.length.shape, *(answer.shape[:1] for answer in answers.values())]
    if {*shapes} != {(len(probe.length),)} or probe.waveform.shape[1:] > (bundle.manifest.window.samples,):
        raise BundleError(f"{bundle.path}: {PROBE} is not a window and an answer for each signal")
    return probe


def _check_sizes(path: Path) -> None:
    """Refuse, as ValueError, what would not fit: a header may claim any shape, and a few bytes unpack to gigabytes."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > _MAX_ARRAYS or sum(member.file_size for member in members) > _MAX_BYTES:
            raise ValueError(f"it holds more than {_MAX_ARRAYS} arrays or {_MAX_BYTES >> 20} MiB")
        for member in members:
            with archive.open(member) as stream:
                old = np.lib.format.read_magic(stream) == (1, 0)
                read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(stream)
                if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > member.file_size:
                    raise ValueError(f"{member.filename} claims the shape {shape}, and holds {member.file_size} bytes")
