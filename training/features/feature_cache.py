"""Feature cache: features of a frozen frontend, computed once per clip and kept as memory-mapped arrays.

One file a clip, ``(windows, ..., frames)`` keyed by a hash of the clip's decoded samples, the window and the
frontend's settings, which include its weights: every epoch, trial and fold with the same frontend shares it.
Interrupted work resumes, and processes that need the same features share the work.

Features that are larger than the samples they come from, as an encoder's are, would dwarf the decoded recordings, and
are kept as float16; training without the cache rounds them too, so that it gives the same figures. Measured on 357
windows of acted speech: rounding a spectrogram moves the probabilities by at most 2e-4, and no decision, but saves only
32 KB a window of 5 s; of a base-size wav2vec2 encoder's features it saves 382 KB.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from emotions.audio.windows import WindowSpec
from emotions.errors import DataError
from emotions.files.cache import cache_root
from training.data.progress import watched
from training.data.waveforms.array_store import ArrayStore, limit_bytes
from training.data.waveforms.dataset import WindowDataset
from training.features.extract import (
    Array,
    Precision,
    by_length,
    compute,
    device_of,
    grouped,
    kept_features,
    without_tf32,
)
from training.features.on_all import on_all
from training.models.base import Frontend

_FORMAT = 2
_KINDS = ("float16", "float32")
# Evict after writing this share of the store's limit.
_EVICT_SHARE = 0.05


class _Place(NamedTuple):
    """Arguments of ``np.memmap`` that open an array."""

    path: str
    kind: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]


class FeatureCache:
    """Features on disk of one frontend and one window. Picklable; any number of processes may share one folder.

    Args:
        frontend: computes the features; frozen.
        spec: the window.
        make: builds the frontend again, on the CPU, for features that another process has removed.
        root: the cache's folder, by default ``features`` below the toolkit's cache folder; made with mode 0700.
        precision: what the frontend computes in; each has features of its own.

    Attributes:
        shape: of a full window's features: (..., frames).
    """

    def __init__(
        self,
        frontend: Frontend,
        spec: WindowSpec,
        make: Callable[[], Frontend],
        root: Path | None = None,
        precision: Precision = "fp32",
    ) -> None:
        self.store = ArrayStore(root or cache_root() / "features")
        self.spec = spec
        self.precision = precision
        self._make = make
        self._in_use: set[str] = set()
        self._places: dict[str, _Place] = {}
        self._settings = _settings(frontend)
        window = torch.zeros(1, self.spec.samples)
        self.shape = tuple(compute(frontend, window, torch.tensor([self.spec.samples]))[0].shape[1:])

    def key(self, sha256: str) -> str:
        """Key of the features of a clip, by the hash of its samples."""
        window = [self.spec.samples, self.spec.hop_samples, self.spec.dynamic]
        # Those in fp32 are named as they were before there were others: they are found again.
        others = [] if self.precision == "fp32" else [self.precision]
        return hashlib.sha256(json.dumps([_FORMAT, sha256, window, self._settings, *others]).encode()).hexdigest()

    def prepare(
        self, windows: WindowDataset, frontend: Frontend, devices: Sequence[torch.device | str] = ("cpu",)
    ) -> int:
        """Compute the features of every clip that is not cached, and check those that are; the number computed here.

        Args:
            windows: the clips.
            frontend: the one that the cache was made for.
            devices: where it computes, on all at once; the frontend returns to its own device.
        """
        keys = [self.key(facts.sha256) for facts in windows.facts]
        first = {key: clip for clip, key in reversed(list(enumerate(keys)))}
        checked = watched(map(self._whole, first), len(first), "Checking features")
        pending = [clip for clip, whole in zip(first.values(), checked, strict=True) if not whole]
        # Each process has its own order, so that several share the work instead of repeating it.
        random.SystemRandom().shuffle(pending)
        self._in_use.update(first)
        made = self._build(windows, frontend, [torch.device(device) for device in devices], pending)
        return sum(watched(made, len(pending), "Features"))

    def load(self, windows: WindowDataset, clip: int) -> Array:
        """The features of a clip: (windows, ..., frames) float32 or float16, memory-mapped, read-only.

        Args:
            windows: windows of the clips.
            clip: index.
        """
        sha256 = windows.facts[clip].sha256
        place = self._places.get(sha256)
        if place is not None:
            # The header is parsed once: an access takes 20 us instead of 80, noticeable beside a small head on a GPU.
            with contextlib.suppress(OSError, ValueError):
                return np.memmap(place.path, place.kind, "r", place.offset, place.shape)
        key = self.key(sha256)
        found = self.store.get(key, kinds=_KINDS)
        found = self._remake(windows, clip, key) if found is None else found
        if isinstance(found, np.memmap):
            self._places[sha256] = _Place(str(self.store.path(key)), found.dtype, int(found.offset), found.shape)
        return found

    def _remake(self, windows: WindowDataset, clip: int, key: str) -> Array:
        with torch.random.fork_rng(devices=[]):
            frontend = self._make().eval()
        if _settings(frontend) == self._settings:
            list(self._build(windows, frontend, [torch.device("cpu")], [clip]))
        found = self.store.get(key, kinds=_KINDS)
        if found is None:
            raise DataError(
                f"{self.store.root}: features in use were removed and cannot be made again; "
                "raise EMOTIONS_CACHE_GB and start the run again"
            )
        return found

    def _whole(self, key: str) -> bool:
        """Whether the features of a key exist and are undamaged."""
        array = self.store.get(key, kinds=_KINDS, check=True)
        if array is None:
            return False
        if array.ndim != len(self.shape) + 1:
            self.store.discard(key, f"has {array.ndim} axes")
            return False
        self.store.touch(key)
        return True

    def _build(
        self, windows: WindowDataset, frontend: Frontend, devices: Sequence[torch.device], pending: Sequence[int]
    ) -> Iterator[int]:
        """Compute and store the features of clips: yields 1 for each, or 0 where another process was faster."""
        if not pending:
            return
        home, written = device_of(frontend), 0
        gpu = devices[0].type == "cuda"
        groups = by_length(windows, pending, devices[0]) if gpu else grouped(windows, pending, devices[0])
        frontends = [frontend.to(devices[0]), *(copy.deepcopy(frontend).to(device) for device in devices[1:])]
        try:
            with without_tf32(devices[0]):
                for made in on_all(partial(self._store, windows), groups, frontends):
                    written += sum(made)
                    if written > _EVICT_SHARE * limit_bytes():
                        self.store.evict(self._in_use)
                        written = 0
                    yield from (int(size > 0) for size in made)
        finally:
            frontend.to(home)
        self.store.evict(self._in_use)

    def _store(
        self, windows: WindowDataset, clips: Sequence[int], frontend: Frontend, turn: AbstractContextManager[Any]
    ) -> list[int]:
        """Compute and store the features of a group of clips: bytes of each, or 0 where another process was faster."""
        keys = {clip: self.key(windows.facts[clip].sha256) for clip in clips}
        missing = [clip for clip in clips if not self.store.path(keys[clip]).exists()]
        sizes = dict.fromkeys(clips, 0)
        kept = kept_features(windows, missing, frontend, self.precision, cut=frontend.any_length, turn=turn)
        for clip, array in zip(missing, kept, strict=True):
            self.store.put(keys[clip], array)
            sizes[clip] = int(array.nbytes)
        return [*sizes.values()]


def _settings(frontend: Frontend) -> str:
    return json.dumps(frontend.settings(), sort_keys=True)
