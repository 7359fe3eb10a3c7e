"""Feature extraction: runs windows through a frozen frontend, in batches, for the feature cache."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.data.waveforms.dataset import WindowDataset
from training.models.base import Frontend

Array = np.ndarray[Any, Any]

Precision = Literal["fp32", "fp16", "bf16"]
_HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}
_HALF_MAX = 65504.0
_ALWAYS = contextlib.nullcontext()
# Samples that a frontend computes at once: an encoder's first layer takes 13 KB for each of 16 samples, several times.
_CPU_SAMPLES = 320_000
_DEVICE_SAMPLES = 1_280_000
_LEAST_SAMPLES = 1_600
"""A batch is cut to no fewer: the first frame of an encoder takes some hundreds."""


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


def window_features(frontend: Frontend, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Features of full windows as the feature cache has them, to the last digit on a CPU.

    There an encoder computes each window by itself, no further than its last valid sample, as ``kept_features`` does.

    Args:
        frontend: frozen.
        waveform: (batch, W) float32 at 16 kHz.
        length: (batch,) int64, valid samples.

    Returns:
        (batch, ..., frames) float32 with the precision of the cache, zero past the valid frames; (batch,) valid frames.
    """
    if not frontend.is_encoder or waveform.device.type != "cpu":
        features, frames = frontend(waveform, length)
        return rounded(features, waveform.shape[1]), frames
    whole: Any = frontend
    parts, valid = [], []
    for row, samples in enumerate(length.tolist()):
        cut = waveform[row : row + 1, : max(samples, _LEAST_SAMPLES)].contiguous()
        alone, count = frontend(cut, length[row : row + 1])
        parts.append(functional.pad(rounded(alone, cut.shape[1]), (0, whole.shape[-1] - alone.shape[-1])))
        valid.append(count)
    return torch.cat(parts), torch.cat(valid)


def precision_of(frontend: Frontend, training: str, device: torch.device) -> Precision:
    """What features are computed in: fp32, but for an encoder on a GPU in a training of mixed precision.

    Args:
        frontend: computes them.
        training: precision of the training, as Lightning names it.
        device: of the training.
    """
    mixed: dict[str, Precision] = {"16-mixed": "fp16", "bf16-mixed": "bf16"}
    return mixed.get(training, "fp32") if device.type == "cuda" and frontend.is_encoder else "fp32"


@contextlib.contextmanager
def computing_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute in a precision, in this thread, until the block ends; of a training's own autocast nothing is left."""
    kind = _HALVES.get(precision)
    with torch.autocast(device.type, kind or torch.bfloat16, enabled=kind is not None):
        yield


@contextlib.contextmanager
def without_tf32(device: torch.device) -> Iterator[None]:
    """Compute fp32 in fp32 on a GPU until the block ends: torch's default takes TF32 for convolutions, 10 bits."""
    if device.type != "cuda":
        yield
        return
    switches: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = False
        yield
    finally:
        for switch, allowed in zip(switches, before, strict=True):
            switch.allow_tf32 = allowed


def compute(
    frontend: Frontend, waveform: Tensor, length: Tensor, precision: Precision = "fp32", samples: int | None = None
) -> tuple[Tensor, Tensor]:
    """Features with the precision of the cache, (batch, ..., frames) float32, and (batch,) int64 valid frames.

    Args:
        frontend: put into evaluation mode.
        waveform: (batch, W) float32 at 16 kHz.
        length: (batch,) int64, valid samples.
        precision: what the frontend computes in.
        samples: as ``rounded`` takes it; by default those of the waveform.
    """
    with torch.no_grad(), computing_in(precision, waveform.device):
        features, frames = frontend.eval()(waveform, length)
    return rounded(features.float(), samples or waveform.shape[1]), frames


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


def by_length(windows: WindowDataset, clips: Sequence[int], device: torch.device) -> list[list[int]]:
    """Split clips into groups that fill a batch, each of clips of like length, in any order of groups.

    Args:
        windows: windows of the clips.
        clips: indices.
        device: of the frontend.
    """
    longest_first = sorted(clips, key=lambda clip: -windows.facts[clip].samples)
    groups = list(grouped(windows, longest_first, device))
    random.SystemRandom().shuffle(groups)  # so that several processes share the work instead of repeating it
    return groups


def kept_features(
    windows: WindowDataset,
    clips: Sequence[int],
    frontend: Frontend,
    precision: Precision = "fp32",
    *,
    cut: bool = False,
    turn: AbstractContextManager[Any] = _ALWAYS,
) -> Iterator[Array]:
    """Compute what the cache stores of each clip: (windows, ..., frames) float16 or float32.

    Args:
        windows: windows of the clips.
        clips: indices.
        frontend: on the device that computes.
        precision: what it computes in.
        cut: compute no batch past its longest window, for a frontend whose windows may have any number of samples. On a
            CPU each window is then a batch of its own: larger ones gain nothing there, and what is computed of a window
            does not depend on the others.
        turn: is held while the frontend computes, not while the samples are read.
    """
    items = itertools.chain.from_iterable(windows.windows_of(clip) for clip in clips)
    device = device_of(frontend)
    batch = 1 if cut and device.type == "cpu" else _batch(windows.spec.samples, device)
    parts = _computed(_batches(windows, items, batch, cut=cut), frontend, windows.spec.samples, precision, turn)
    for clip in clips:
        yield _packed([next(parts) for _ in windows.windows_of(clip)])


def _batches(windows: WindowDataset, items: Iterator[int], batch: int, *, cut: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """(batch, samples) float32 and (batch,) int64 of windows."""
    while loaded := [windows[item] for item in itertools.islice(items, batch)]:
        waveform = torch.stack([waveform for waveform, *_ in loaded])
        length = torch.tensor([length for _, length, *_ in loaded])
        yield (waveform[:, : max(int(length.max()), _LEAST_SAMPLES)].contiguous() if cut else waveform), length


def _computed(
    batches: Iterator[tuple[Tensor, Tensor]],
    frontend: Frontend,
    window: int,
    precision: Precision,
    turn: AbstractContextManager[Any],
) -> Iterator[tuple[Array, int, bool]]:
    """Of windows: features, (..., frames) float32, the number of valid frames, whether they are more than samples."""
    device = device_of(frontend)
    for waveform, length in batches:
        if device.type == "cuda":  # copied without waiting for what the card computes
            waveform, length = waveform.pin_memory(), length.pin_memory()  # noqa: PLW2901
        with turn:
            there = waveform.to(device, non_blocking=True), length.to(device, non_blocking=True)
            samples = waveform.shape[1] if frontend.is_encoder else window  # an encoder's frames go with the samples
            features, frames = compute(frontend, *there, precision, samples)
            arrays, valid = features.cpu().numpy(), frames.tolist()
        large = arrays[0].size > samples
        yield from ((array, count, large) for array, count in zip(arrays, valid, strict=True))


def _packed(parts: Sequence[tuple[Array, int, bool]]) -> Array:
    """The valid frames of a clip's windows: (windows, ..., frames)."""
    frames = {valid for _, valid, _ in parts}
    if len(frames) > 1:
        raise ValueError("windows of the same length must have the same number of valid frames")
    array = np.stack([features[..., :valid] for features, valid, _ in parts])
    half = parts[0][2] and bool(np.abs(array).max(initial=0) <= _HALF_MAX)
    return np.ascontiguousarray(array, np.float16 if half else np.float32)
