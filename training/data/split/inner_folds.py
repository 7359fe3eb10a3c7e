"""Folds of whole groups, and the folds of the clips that train: each is held out once from a model of its own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from emotions.audio.windows import IntArray
from emotions.errors import DataError
from training.data.clips import ClipTable
from training.data.split.splits import Split, groups_of, make_split

_LEFT_OUT = 3


def group_folds(table: ClipTable, groups: IntArray, folds: int, seed: int) -> list[IntArray]:
    """Clips of each fold: whole groups, labels of the first target spread as evenly as the groups allow.

    Args:
        table: the clips.
        groups: (clips,) index of each clip's group.
        folds: number of folds, at most that of the groups.
        seed: of the draw.

    Raises:
        ValueError: the folds cannot be cut.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    labels = np.array([clip.labels.get(next(iter(table.targets), ""), "") for clip in table.clips])
    cut = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer clips than folds is absent from some: the callers decide whether that matters.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return [test for _, test in cut.split(labels, labels, groups)]


def inner_folds(table: ClipTable, split: Split, folds: int, seed: int) -> list[Split]:
    """The folds that validate a model without a validation part: the test part of each is held out from training.

    A group stays in training where it alone holds a class of a fold, because nothing could be learnt about it else.

    Args:
        table: all clips.
        split: its training and validation clips are cut.
        folds: how many; fewer where there are fewer groups.
        seed: of the draw.

    Raises:
        DataError: there are too few groups.
    """
    known = np.array(sorted((*split.train, *split.val)))
    chosen, by = table.select(known), _by(table, split)
    groups = groups_of(chosen, by)
    count = min(folds, len(np.unique(groups)))
    found = [*_held_out(chosen, groups, count, seed)] if count > 1 else []
    if not found:
        raise DataError(
            f"dataset.split.val_folds: needs at least 2 {by}s whose classes others have too to leave out in turn; "
            "give more data, or set it to 0 and keep a validation part"
        )
    parts = np.full((len(found), len(table)), _LEFT_OUT)
    parts[:, known] = 0
    for row, clips in zip(parts, found, strict=True):
        row[known[clips]] = 2
    return [make_split(table, row, by, f"{by}-disjoint inner fold") for row in parts]


def _by(table: ClipTable, split: Split) -> str:
    if split.by != "split":
        return split.by
    return "speaker" if all(clip.speaker for clip in table.clips) else "recording"


def _held_out(table: ClipTable, groups: IntArray, folds: int, seed: int) -> Iterator[IntArray]:
    """Clips of each fold that can be held out; folds without one are passed over."""
    try:
        cut = group_folds(table, groups, folds, seed)
    except ValueError:  # no class has a clip for each fold
        return
    for clips in cut:
        left = np.zeros(len(table), bool)
        left[clips] = True
        for group in np.unique(groups[clips]):
            if _unseen(table, left, groups == group):
                left[groups == group] = False
        if left.any():
            yield np.flatnonzero(left)


def _unseen(table: ClipTable, left: np.ndarray, group: np.ndarray) -> bool:
    """Whether a group has a class that training would not have without the clips that are left out."""
    trained, own = table.select(np.flatnonzero(~left)), table.select(np.flatnonzero(group))
    return any({*own.own_labels(target)} - {*trained.own_labels(target)} for target in table.targets)
