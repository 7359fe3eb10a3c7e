"""Cut a dataset into folds by a protocol: no fold trains or validates on its test groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotions.audio.windows import IntArray
from emotions.errors import DataError
from training.config.dataset import SplitConfig
from training.config.evaluate import Protocol
from training.data.clips import ClipTable
from training.data.data_faults import some
from training.data.split.inner_folds import group_folds
from training.data.split.splits import Split, default_by, draw_validation, groups_of, make_split, split_clips


@dataclass(frozen=True)
class Folds:
    """The folds of a protocol.

    Attributes:
        splits: one per fold; each clip is in the test part of at most one.
    """

    splits: tuple[Split, ...]
    protocol: str

    def __len__(self) -> int:
        return len(self.splits)


def make_folds(table: ClipTable, protocol: Protocol, folds: int, config: SplitConfig, seeds: Sequence[int]) -> Folds:
    """Cut a dataset into folds.

    Args:
        table: the dataset.
        protocol: ``holdout``, ``group_kfold`` or ``loso``.
        folds: number of folds of ``group_kfold``.
        config: grouping of the clips, and the share for validation, which is drawn from the training groups.
        seeds: the first one determines the folds.
    """
    if protocol == "holdout":
        return _holdout(table, config, seeds[0])
    by = "speaker" if protocol == "loso" else grouped_by(table, config)
    groups = groups_of(table, by)
    tests = _one_per_group(groups) if protocol == "loso" else _stratified(table, groups, folds, by, seeds[0])
    _check_classes(table, tests)
    splits = [_fold(table, test, by, config, seeds[0]) for test in tests]
    return Folds(tuple(splits), _protocol(protocol, by, groups, len(splits), config))


def _holdout(table: ClipTable, config: SplitConfig, seed: int) -> Folds:
    split = split_clips(table, config, seed)
    if not split.test:
        raise DataError("the protocol holdout needs a test part: set dataset.split.test above 0")
    return Folds((split,), split.protocol)


def grouped_by(table: ClipTable, config: SplitConfig) -> str:
    """What groups the clips of folds, as ``Split.by``.

    Args:
        table: the dataset.
        config: its ``dataset.split`` block.
    """
    by = config.by or default_by(table)
    if by == "split":  # a predefined split has one test part, so folds are cut by speaker
        return "speaker" if any(clip.speaker for clip in table.clips) else "recording"
    return by


def _one_per_group(groups: IntArray) -> list[IntArray]:
    names = np.unique(groups)
    if len(names) < 3:
        raise DataError(f"leave one speaker out needs at least 3 speakers, there are {len(names)}")
    return [np.flatnonzero(groups == name) for name in names]


def _stratified(table: ClipTable, groups: IntArray, folds: int, by: str, seed: int) -> list[IntArray]:
    """Test clips of each fold: labels of the first target spread as evenly as the groups allow."""
    count = len(np.unique(groups))
    if count < folds:
        raise DataError(f"{folds} folds by {by} need as many groups, there are {count}: lower folds to {count}")
    if count < 3:
        raise DataError(f"folds by {by} need at least 3 groups, there are {count}")
    try:
        tests = group_folds(table, groups, folds, seed)
    except ValueError as error:
        raise DataError(f"{folds} folds by {by} cannot be cut ({error}): lower folds") from error
    if not all(len(test) for test in tests):
        raise DataError(f"{folds} folds by {by} leave one without a clip: lower folds")
    return tests


def _check_classes(table: ClipTable, tests: Sequence[IntArray]) -> None:
    """Refuse a class that is in a fold's test part and not in its training part."""
    for number, test in enumerate(tests, 1):
        rest = table.select(np.setdiff1d(np.arange(len(table)), test))
        for target in table.targets:
            unseen = sorted({*table.own_labels(target)} - {*rest.own_labels(target)})
            if unseen:
                raise DataError(
                    f"fold {number} has all clips of {target} {some(unseen)}, so nothing is left to learn it from: "
                    "add clips of another speaker, lower folds, or remove the class"
                )


def _fold(table: ClipTable, test: IntArray, by: str, config: SplitConfig, seed: int) -> Split:
    parts = np.zeros(len(table), np.int64)
    parts[test] = 2
    if not config.val_folds:
        rest = np.flatnonzero(parts == 0)
        parts[rest[draw_validation(table, rest, by, config.val, seed)]] = 1
    return make_split(table, parts, by, f"{by}-disjoint fold")


def _protocol(protocol: Protocol, by: str, groups: IntArray, folds: int, config: SplitConfig) -> str:
    count = len(np.unique(groups))
    inner = f"validation on {by}s of the training part{', by inner folds' if config.val_folds else ''}"
    if protocol == "loso":
        return f"speaker-disjoint, leave one speaker out ({count} folds; {inner})"
    if by == "clip":
        return f"clip-wise {folds}-fold (speakers and recordings shared by the parts: figures are optimistic)"
    known = "" if by == "speaker" else "; speakers unknown or shared"
    return f"{by}-disjoint {folds}-fold ({count} {by}s; {inner}{known})"
