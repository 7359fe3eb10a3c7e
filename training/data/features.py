"""Feature cache: what a frozen frontend makes of every clip, computed once and kept as memory-mapped arrays.

One file a clip, ``(windows, ..., frames)`` and a checksum behind it, filed under a hash of the clip's decoded samples,
the window and the frontend's settings, which name its weights: every epoch, trial and fold with the same frontend
shares it. A file appears whole or not at all, so work that was interrupted goes on where it stopped, and processes
that want the same features at once take the clips that no other has made yet.

Small features are kept as float32. Those that are larger than the samples they come from, as an encoder's are, would
dwarf the decoded recordings, and are kept as float16. Training without the cache rounds them in the same way, so that
it gives the same figures. Measured on 339 clips of acted speech: rounding the spectrogram moves a trained network's
probabilities by at most 7e-4 and no decision, but 64 KB a window are not worth it; rounding a wav2vec2 encoder's
features halves 765 KB a window.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emotions.errors import DataError
from emotions.files import atomic_file, cache_root
from training.data.dataset import WindowDataset
from training.data.progress import watched
from training.data.store import ArrayStore, limit_bytes, writing
from training.models.base import Frontend

Array = np.ndarray[Any, Any]

_FORMAT = 1
_KINDS = ("float16", "float32")
_HALF_MAX = 65504.0
_SEAL_BYTES = 4
# Samples that a frontend computes at once: an encoder's first layer takes 13 KB for each of 16 samples, several times.
_CPU_SAMPLES = 320_000
_DEVICE_SAMPLES = 1_280_000
# The store is brought back to its limit whenever this share of it was written.
_EVICT_SHARE = 0.05


class FeatureCache:
    """Features on disk of one frontend and one window. Picklable; any number of processes may share one folder.

    Args:
        frontend: what makes the features; it is frozen.
        windows: a dataset that has the window.
        make: makes the frontend again, on the CPU, for features that another process has removed meanwhile.
        root: the cache's folder, by default ``features`` below the toolkit's cache folder; made with mode 0700.

    Attributes:
        shape: of a full window's features: (..., frames).
    """

    def __init__(
        self, frontend: Frontend, windows: WindowDataset, make: Callable[[], Frontend], root: Path | None = None
    ) -> None:
        self.store = ArrayStore(root or cache_root() / "features")
        self.spec = windows.spec
        self._make = make
        self._settings = _settings(frontend)
        window = torch.zeros(1, self.spec.samples)
        self.shape = tuple(compute(frontend, window, torch.tensor([self.spec.samples]))[0].shape[1:])

    def key(self, sha256: str) -> str:
        """What the features of a clip with such samples are filed under."""
        window = [self.spec.samples, self.spec.hop_samples, self.spec.dynamic]
        return hashlib.sha256(json.dumps([_FORMAT, sha256, window, self._settings]).encode()).hexdigest()

    def prepare(self, windows: WindowDataset, frontend: Frontend, device: torch.device | str = "cpu") -> int:
        """Compute the features of every clip that the cache lacks; what it has is checked.

        Args:
            windows: the clips.
            frontend: the one that the cache was made for.
            device: where it computes; it comes back to where it was.

        Returns:
            Clips whose features this process has computed.

        Raises:
            DataError: the disk is full or cannot be written.
        """
        keys = [self.key(facts.sha256) for facts in windows.facts]
        first = {key: clip for clip, key in reversed(list(enumerate(keys)))}
        checked = watched(map(self._whole, first), len(first), "Checking features")
        pending = [clip for clip, whole in zip(first.values(), checked, strict=True) if not whole]
        # Each process starts elsewhere, so that several share the work instead of repeating it.
        begin = os.getpid() * 7919 % max(1, len(pending))
        made = self._build(windows, frontend, device, pending[begin:] + pending[:begin], frozenset(first))
        return sum(watched(made, len(pending), "Features"))

    def load(self, windows: WindowDataset, clip: int) -> Array:
        """The features of a clip: (windows, ..., frames) float32 or float16, memory-mapped, read-only.

        Raises:
            DataError: they are gone and cannot be made again.
        """
        key = self.key(windows.facts[clip].sha256)
        found = self.store.open(key, None, _KINDS)
        return self._remake(windows, clip, key) if found is None else found

    def _remake(self, windows: WindowDataset, clip: int, key: str) -> Array:
        with torch.random.fork_rng(devices=[]):
            frontend = self._make().eval()
        if _settings(frontend) == self._settings:
            list(self._build(windows, frontend, "cpu", [clip], frozenset({key})))
        found = self.store.open(key, None, _KINDS)
        if found is None:
            raise DataError(
                f"{self.store.root}: features in use were removed and cannot be made again; "
                "raise EMOTIONS_CACHE_GB and start the run again"
            )
        return found

    def _whole(self, key: str) -> bool:
        """Whether the features of a key are there and undamaged."""
        array = self.store.open(key, None, _KINDS)
        if array is None:
            return False
        with self.store.path(key).open("rb") as stream:
            stream.seek(-_SEAL_BYTES, os.SEEK_END)
            sealed = stream.read() == _seal(array)
        if not sealed or array.ndim != len(self.shape) + 1:
            self.store.discard(key, "its checksum is wrong")
            return False
        self.store.touch(key)
        return True

    def _build(
        self,
        windows: WindowDataset,
        frontend: Frontend,
        device: torch.device | str,
        pending: Sequence[int],
        keep: Collection[str],
    ) -> Iterator[int]:
        """Compute and keep the features of clips: 1 for each, or 0 where another process was faster."""
        if not pending:
            return
        home, written = _device(frontend), 0
        frontend.to(device)
        try:
            for chunk in _chunks(windows, pending, torch.device(device)):
                keys = {clip: self.key(windows.facts[clip].sha256) for clip in chunk}
                wanted = [clip for clip in chunk if not self.store.path(keys[clip]).exists()]
                for clip, array in zip(wanted, _features(windows, wanted, frontend), strict=True):
                    written += self._put(keys[clip], array)
                if written > _EVICT_SHARE * limit_bytes():
                    self.store.evict(keep)
                    written = 0
                yield from (int(clip in wanted) for clip in chunk)
        finally:
            frontend.to(home)
        self.store.evict(keep)

    def _put(self, key: str, array: Array) -> int:
        path = self.store.path(key)
        with writing(self.store.root), atomic_file(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)
            stream.write(_seal(array))
        return int(array.nbytes)


def is_frozen(frontend: Frontend) -> bool:
    """Whether no weight of a frontend trains: then its features stay the same from epoch to epoch."""
    return not any(parameter.requires_grad for parameter in frontend.parameters())


def rounded(features: Tensor, samples: int) -> Tensor:
    """Features with the precision that the cache keeps them in.

    Args:
        features: (batch, ..., frames) float32, of full windows.
        samples: W, the samples of a window.

    Returns:
        The same, float32; to the nearest float16 where a window's features are more than its samples.
    """
    if features[0].numel() <= samples:
        return features
    # Beyond float16's range, where some encoders have outliers, values stay as they are.
    return torch.where(features.abs() <= _HALF_MAX, features.half().float(), features)


def compute(frontend: Frontend, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Features, as the cache keeps them, and valid frames of (batch, W) samples and (batch,) lengths."""
    with torch.no_grad():
        features, frames = frontend.eval()(waveform, length)
    return rounded(features, waveform.shape[1]), frames


def _settings(frontend: Frontend) -> str:
    return json.dumps(frontend.settings(), sort_keys=True)


def _device(frontend: Frontend) -> torch.device:
    tensors = itertools.chain(frontend.parameters(), frontend.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _seal(array: Array) -> bytes:
    """Checksum of an array's bytes."""
    return zlib.crc32(np.ascontiguousarray(array).data).to_bytes(_SEAL_BYTES, "little")


def _batch(samples: int, device: torch.device) -> int:
    """Windows of so many samples that a frontend computes at once."""
    return max(1, (_CPU_SAMPLES if device.type == "cpu" else _DEVICE_SAMPLES) // samples)


def _chunks(windows: WindowDataset, clips: Sequence[int], device: torch.device) -> Iterator[list[int]]:
    """Clips in groups that fill a batch."""
    full, chunk, count = _batch(windows.spec.samples, device), [], 0
    for clip in clips:
        chunk.append(clip)
        count += len(windows.windows_of(clip))
        if count >= full:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk


def _features(windows: WindowDataset, clips: Sequence[int], frontend: Frontend) -> Iterator[Array]:
    """What is kept of each clip: (windows, ..., frames) float16 or float32."""
    samples, device = windows.spec.samples, _device(frontend)
    items = itertools.chain.from_iterable(windows.windows_of(clip) for clip in clips)
    parts = _computed(windows, items, frontend, _batch(samples, device))
    for clip in clips:
        yield _packed([next(parts) for _ in windows.windows_of(clip)], samples)


def _computed(
    windows: WindowDataset, items: Iterator[int], frontend: Frontend, batch: int
) -> Iterator[tuple[Array, int]]:
    """Features of windows, (..., frames) float32 each, and how many of the frames are valid."""
    device = _device(frontend)
    while chosen := list(itertools.islice(items, batch)):
        loaded = [windows[item] for item in chosen]
        waveform = torch.stack([waveform for waveform, *_ in loaded]).to(device)
        length = torch.tensor([length for _, length, *_ in loaded]).to(device)
        features, frames = compute(frontend, waveform, length)
        yield from zip(features.cpu().numpy(), frames.tolist(), strict=True)


def _packed(parts: Sequence[tuple[Array, int]], samples: int) -> Array:
    """The features of a clip's windows without the frames that are not valid: (windows, ..., frames)."""
    frames = {valid for _, valid in parts}
    if len(frames) > 1:
        raise ValueError("windows of the same length must have the same number of valid frames")
    array = np.stack([features[..., : frames.copy().pop()] for features, _ in parts])
    half = parts[0][0].size > samples and bool(np.abs(array).max(initial=0) <= _HALF_MAX)
    return array.astype(np.float16) if half else array
