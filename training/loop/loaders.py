"""Samplers and loaders: shuffled or balanced epochs, and batches that are divided among processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from emotions.audio.windows import FloatArray, IntArray
from emotions.errors import ConfigError, DataError
from training.corpus import Corpus
from training.data.waveforms.dataset import NO_LABEL, WindowDataset
from training.features.feature_dataset import ClipDataset
from training.features.teacher.taught import TaughtDataset


class EpochSampler(Sampler[int]):
    """Every item once an epoch, in an order that depends on the seed and the epoch alone."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        yield from torch.randperm(self.size, generator=self._generator()).tolist()

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(derived_seed(self.seed, "order", self.epoch))

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch


class BalancedSampler(EpochSampler):
    """As many draws as windows, with replacement, each class with the same probability, each clip of a class too.

    Clips without a label are drawn as often as they would be without balancing.

    Args:
        classes: (windows,) class index of each window, ``NO_LABEL`` where it has none.
        seed: seed of the run.
        shares: (windows,) share of each window in its clip; 1 by default, each window a clip.
    """

    def __init__(self, classes: IntArray, seed: int, shares: FloatArray | None = None) -> None:
        super().__init__(len(classes), seed)
        labelled = classes != NO_LABEL
        weights = np.ones(len(classes)) if shares is None else shares.astype(np.float64)
        clips = weights[labelled].sum()
        found = np.unique(classes[labelled])
        for each in found:
            weights[classes == each] *= clips / (len(found) * weights[classes == each].sum())
        self._cumulated = torch.from_numpy(np.cumsum(weights))

    def __iter__(self) -> Iterator[int]:
        draws = torch.rand(self.size, generator=self._generator(), dtype=torch.float64) * self._cumulated[-1]
        yield from torch.searchsorted(self._cumulated, draws, right=True).clamp_max(self.size - 1).tolist()


class SharedBatches(Sampler[list[int]]):
    """One process's share of each batch: windows ``rank``, ``rank + processes``, ... of it.

    Together the processes see the batches that a single one would see. Lightning sets the epoch of ``sampler``.

    Args:
        sampler: windows in the order of an epoch.
        size: windows of a batch, over all processes.
        rank: index of this process.
        processes: number of processes.
    """

    def __init__(self, sampler: Sampler[int], size: int, rank: int = 0, processes: int = 1) -> None:
        self.sampler, self.size, self.rank, self.processes = sampler, size, rank, processes
        items = len(sampler)  # type: ignore[arg-type]
        self._batches, rest = divmod(items, size)
        # Batch norm cannot learn from a single window; and a process without any would not take part in the step.
        if rest // processes >= 2 or (rest and not self._batches):
            self._batches += 1

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        order = [*self.sampler]
        for batch in range(self._batches):
            yield order[batch * self.size : (batch + 1) * self.size][self.rank :: self.processes]


class EvenBatches(Sampler[list[int]]):
    """Every item once over all processes, which all get the same number of batches, without padding by repetition.

    Args:
        items: how many there are, at least as many as processes.
        size: largest batch of one process.
        rank: index of this process.
        processes: number of processes.
    """

    def __init__(self, items: int, size: int, rank: int = 0, processes: int = 1) -> None:
        count = -(-items // (size * processes))
        self._parts = [part[rank::processes] for part in np.array_split(np.arange(items), count)]

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[list[int]]:
        return (part.tolist() for part in self._parts)


def training_batches(
    corpus: Corpus, batch_size: int, seed: int, workers: int, *, balanced: bool = False, place: tuple[int, int] = (0, 1)
) -> DataLoader[Any]:
    """Loader of the training part, in an order that depends on the seed and the epoch alone.

    Args:
        corpus: the data.
        batch_size: windows of a batch, over all processes.
        seed: seed of the run.
        workers: loader processes; 0 loads in this process.
        balanced: draw all classes of the first target equally often.
        place: index of this process, and number of processes.
    """
    part = corpus.train
    sampler = balanced_sampler(part, seed) if balanced else EpochSampler(len(part), seed)
    items = part if corpus.answers is None else TaughtDataset(part, corpus.answers)
    return _loader(items, SharedBatches(sampler, batch_size, *place), workers)


def validation_batches(
    corpus: Corpus, batch_size: int, workers: int, place: tuple[int, int] = (0, 1)
) -> DataLoader[Any] | None:
    """Loader of the validation part, in order, if there is one; as ``training_batches``, of one process."""
    if corpus.val is None:
        return None
    return _loader(corpus.val, EvenBatches(len(corpus.val), batch_size, *place), workers)


def _loader(dataset: ClipDataset | TaughtDataset, batches: Sampler[list[int]], workers: int) -> DataLoader[Any]:
    return DataLoader(dataset, batch_sampler=batches, num_workers=workers, persistent_workers=workers > 0)


def balanced_sampler(part: ClipDataset, seed: int) -> BalancedSampler:
    """Draws that are balanced over the classes of a part's first target, and over the clips of each.

    Args:
        part: the training part.
        seed: seed of the run.
    """
    windows = part if isinstance(part, WindowDataset) else part.windows
    return BalancedSampler(window_classes(part), seed, windows.shares.numpy())


def window_classes(part: ClipDataset) -> IntArray:
    """Class index of each window for the first target, (windows,) int64."""
    windows = part if isinstance(part, WindowDataset) else part.windows
    counts = [len(windows.windows_of(clip)) for clip in range(len(windows.clips))]
    classes: IntArray = np.repeat(windows.classes(windows.targets[0]), counts)
    return classes


def check_shares(corpus: Corpus, batch_size: int, processes: int) -> None:
    """Refuse batches and data that are too small for the processes to share.

    Args:
        corpus: the data.
        batch_size: windows of a batch, over all processes.
        processes: number of processes.
    """
    if processes == 1:
        return
    if batch_size < 2 * processes:
        raise ConfigError(
            f"learn_params.batch_size: found {batch_size}; {processes} processes need at least two windows each, "
            f"so {2 * processes} or more"
        )
    for name, part, least in (("training", corpus.train, 2 * processes), ("validation", corpus.val, processes)):
        if part is not None and len(part) < least:
            raise DataError(
                f"the {name} part has {len(part)} windows, too few for {processes} processes (at least {least}); "
                "lower devices"
            )


def derived_seed(seed: int, stream: str, number: int) -> int:
    """Seed of one epoch or step: a hash, so that no two streams, numbers or seeds of a run share random numbers.

    Args:
        seed: seed of the run.
        stream: what it is drawn for: ``order``, ``dropout``, ``augmentation``.
        number: number of the epoch or step.
    """
    digest = hashlib.sha256(f"{seed}/{stream}/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
