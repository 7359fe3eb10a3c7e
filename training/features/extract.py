"""Feature extraction: runs windows through a frozen frontend, in batches, for the feature cache."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.data.waveforms.dataset import WindowDataset
from training.models.base import Frontend

Array = np.ndarray[Any, Any]

_HALF_MAX = 65504.0
# Samples that a frontend computes at once: an encoder's first layer takes 13 KB for each of 16 samples, several times.
_CPU_SAMPLES = 320_000
_DEVICE_SAMPLES = 1_280_000


def rounded(features: Tensor, samples: int) -> Tensor:
    """Round features to the precision of the cache.

    Args:
        features: (batch, ..., frames) float32, of full windows.
        samples: W, the samples of a window.

    Returns:
        The same, float32; rounded to float16 where a window has more features than samples.
    """
    if features[0].numel() <= samples:
        return features
    # Some encoders have outliers beyond the range of float16: they are not rounded.
    return torch.where(features.abs() <= _HALF_MAX, features.half().float(), features)


def compute(frontend: Frontend, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Features with the precision of the cache, (batch, ..., frames) float32, and (batch,) int64 valid frames.

    Args:
        frontend: put into evaluation mode.
        waveform: (batch, W) float32 at 16 kHz.
        length: (batch,) int64, valid samples.
    """
    with torch.no_grad():
        features, frames = frontend.eval()(waveform, length)
    return rounded(features, waveform.shape[1]), frames


def device_of(frontend: Frontend) -> torch.device:
    """The device that a frontend is on."""
    tensors = itertools.chain(frontend.parameters(), frontend.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _batch(samples: int, device: torch.device) -> int:
    """Batch size for windows of that many samples."""
    return max(1, (_CPU_SAMPLES if device.type == "cpu" else _DEVICE_SAMPLES) // samples)


def grouped(windows: WindowDataset, clips: Sequence[int], device: torch.device) -> Iterator[list[int]]:
    """Split clips into groups that fill a batch.

    Args:
        windows: windows of the clips.
        clips: indices.
        device: of the frontend.
    """
    full, chunk, count = _batch(windows.spec.samples, device), [], 0
    for clip in clips:
        chunk.append(clip)
        count += len(windows.windows_of(clip))
        if count >= full:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk


def kept_features(windows: WindowDataset, clips: Sequence[int], frontend: Frontend) -> Iterator[Array]:
    """Compute what the cache stores of each clip: (windows, ..., frames) float16 or float32.

    Args:
        windows: windows of the clips.
        clips: indices.
        frontend: on the device that computes.
    """
    samples, device = windows.spec.samples, device_of(frontend)
    items = itertools.chain.from_iterable(windows.windows_of(clip) for clip in clips)
    parts = _computed(windows, items, frontend, _batch(samples, device))
    for clip in clips:
        yield _packed([next(parts) for _ in windows.windows_of(clip)], samples)


def _computed(
    windows: WindowDataset, items: Iterator[int], frontend: Frontend, batch: int
) -> Iterator[tuple[Array, int]]:
    """Features of windows, (..., frames) float32 each, and the number of valid frames."""
    device = device_of(frontend)
    while loaded := [windows[item] for item in itertools.islice(items, batch)]:
        waveform = torch.stack([waveform for waveform, *_ in loaded]).to(device)
        length = torch.tensor([length for _, length, *_ in loaded]).to(device)
        features, frames = compute(frontend, waveform, length)
        yield from zip(features.cpu().numpy(), frames.tolist(), strict=True)


def _packed(parts: Sequence[tuple[Array, int]], samples: int) -> Array:
    """The valid frames of a clip's windows: (windows, ..., frames)."""
    frames = {valid for _, valid in parts}
    if len(frames) > 1:
        raise ValueError("windows of the same length must have the same number of valid frames")
    array = np.stack([features[..., :valid] for features, valid in parts])
    half = parts[0][0].size > samples and bool(np.abs(array).max(initial=0) <= _HALF_MAX)
    return np.ascontiguousarray(array, np.float16 if half else np.float32)
