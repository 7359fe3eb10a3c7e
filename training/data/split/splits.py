"""Splits of clips into train, validation and test parts that share no speaker or recording."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emotions.audio.windows import IntArray
from emotions.errors import DataError, plain
from training.config.dataset import SplitConfig
from training.data.clips import Clip, ClipTable
from training.data.data_faults import some
from training.data.formats.entry import SPLIT_NAMES
from training.data.recordings import EACH_FILE
from training.data.split.group_assignment import assign_groups

PARTS = ("train", "val", "test")
"""The parts of a split, in order."""

_LOG = logging.getLogger(__name__)
_IDENTIFY = 'dataset.speaker {"column": NAME} or {"pattern": REGEX}'
_BY_RECORDING = 'dataset.split.by "recording"'


@dataclass(frozen=True)
class Split:
    """Which clips train, validate and test.

    Attributes:
        train, val, test: indices into the table's clips, ascending; ``test`` may be empty.
        by: what groups the clips: ``speaker``, ``recording``, ``clip``, ``split`` or a column.
        protocol: one readable line that every figure is quoted with.
        sha256: hash of the clips of each part.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    by: str
    protocol: str
    sha256: str


def split_clips(table: ClipTable, config: SplitConfig, seed: int) -> Split:
    """Split a dataset by group, with each label's share of clips as near to the requested one as the groups allow.

    By the predefined column ``split`` where every clip has it, else by speaker where every clip has one, else by
    recording, unless ``config.by`` says otherwise. The same table, config and seed give the same split.

    Args:
        table: the clips.
        config: the ``dataset.split`` block.
        seed: of the draw.

    Raises:
        DataError: too few groups, a class that cannot be on both sides, or nothing to group by.
    """
    by = config.by or default_by(table)
    if by == "split":
        return _predefined(table, config, seed)
    every = np.arange(len(table))
    groups = groups_of(table, by)
    parts = _assign(table, every, groups, (config.val_share, config.test), by, seed)
    return make_split(table, parts, by, _protocol(table, by, groups, parts, config.val_folds))


def draw_validation(table: ClipTable, chosen: IntArray, by: str, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Draw whole groups of some clips for validation; a class that only one group has stays in training.

    Args:
        table: the clips.
        chosen: (chosen,) indices of the clips to divide.
        by: as ``Split.by``.
        share: requested share of validation.
        seed: of the draw.

    Returns:
        (chosen,) bool: True for validation.
    """
    members, inverse = np.unique(groups_of(table, by)[chosen], return_inverse=True)
    if len(members) < 2:
        raise DataError(
            f"an inner validation set by {by} needs at least 2 groups to train on, there are {len(members)}: "
            "give more data"
        )
    _, counts = _label_counts(table, chosen, inverse)
    validates: npt.NDArray[np.bool_] = assign_groups(counts, (share, 0.0), seed)[inverse] == 1
    return validates


def default_by(table: ClipTable) -> str:
    """The default of ``dataset.split.by``: a predefined split, the speaker, or the recording."""
    if all(clip.split for clip in table.clips):
        return "split"
    if any(clip.split for clip in table.clips):
        _LOG.warning("the column 'split' is ignored: some clips have no value in it")
    if not any(clip.speaker for clip in table.clips):
        return "recording"
    return "speaker"  # where some speakers are unknown that is refused: a blank cell must not change the protocol


def groups_of(table: ClipTable, by: str) -> IntArray:
    """Index of each clip's group, (clips,).

    Args:
        table: the clips.
        by: as ``Split.by``.
    """
    names = [_group(clip, by, index) for index, clip in enumerate(table.clips)]
    without = [clip.name for clip, name in zip(table.clips, names, strict=True) if not name]
    if without and by == "speaker":
        raise DataError(
            f"a split by speaker needs to know who speaks in {some(without)}: give {_IDENTIFY}, or {_BY_RECORDING}"
        )
    if without:
        columns = sorted({column for clip in table.clips for column in clip.columns})
        raise DataError(
            f"dataset.split.by {by!r}: {some(without)} have no such column; "
            f"there are speaker, recording, split, clip, {', '.join(columns)}"
        )
    return np.unique(np.array(names), return_inverse=True)[1].reshape(-1)


def _group(clip: Clip, by: str, index: int) -> str | None:
    if by == "clip":
        return str(index)
    if by in ("speaker", "recording"):
        return clip.speaker if by == "speaker" else clip.recording
    return clip.columns.get(by)


def _assign(
    table: ClipTable, chosen: IntArray, groups: IntArray, shares: tuple[float, float], by: str, seed: int
) -> IntArray:
    """Part of each chosen clip, (chosen,): 0 train, 1 validation, 2 test."""
    members, inverse = np.unique(groups[chosen], return_inverse=True)
    needed = 3 if shares[1] else 2  # where folds validate, training needs two of them
    if len(members) < needed:
        raise DataError(
            f"a split by {by} needs at least {needed} groups, there are {len(members)}: "
            f"give more data, {_IDENTIFY}, or another dataset.split.by{_taken_for(table, by)}"
        )
    names, counts = _label_counts(table, chosen, inverse)
    _check_spread(table, names, counts, by)
    assigned = _parts(counts, shares, seed)
    if any(share and not (assigned == part).any() for part, share in enumerate(shares, 1)):
        raise DataError(
            f"a split by {by} cannot keep every class in train: there are too few groups ({len(members)}) for "
            "a validation and a test part; add data, or set dataset.split.test to 0"
        )
    return assigned[inverse]


def _parts(counts: IntArray, shares: tuple[float, float], seed: int) -> IntArray:
    """Part of each group; without a validation share groups are divided into two parts, or all of them train."""
    if shares[0]:
        return assign_groups(counts, shares, seed)
    return 2 * assign_groups(counts, (shares[1], 0.0), seed) if shares[1] else np.zeros(len(counts), np.int64)


def _label_counts(table: ClipTable, chosen: IntArray, group: IntArray) -> tuple[list[tuple[str, str]], IntArray]:
    """Every (target, label), and the number of chosen clips of each group that have it, (groups, labels).

    Where there are dimensions alone every clip counts as of one label.
    """
    if not table.targets:
        return [], np.bincount(group)[:, None]
    names = [(target, label) for target in table.targets for label in table.labels(target)]
    column = {name: index for index, name in enumerate(names)}
    counts = np.zeros((group.max() + 1, len(names)), np.int64)
    for row, index in zip(group, chosen, strict=True):
        for name in table.clips[index].labels.items():
            counts[row, column[name]] += 1
    return names, counts


def _check_spread(table: ClipTable, names: Sequence[tuple[str, str]], counts: IntArray, by: str) -> None:
    """Refuse a class that only one group has: it would be learnt and never tested, or the reverse."""
    lonely = [f"{target} {label!r}" for (target, label), n in zip(names, (counts > 0).sum(0), strict=False) if n == 1]
    if lonely:
        instead = f", or {_BY_RECORDING}" if by == "speaker" else ""
        raise DataError(
            f"a split by {by} cannot put these classes on both sides, as one {by} has all their clips: "
            f"{some(lonely)}; add clips of another {by}{instead}, or remove the class{_taken_for(table, by)}"
        )


def _taken_for(table: ClipTable, by: str) -> str:
    """What counts as a recording, with an example, and the keys that make each file one; empty of other groups."""
    if by != "recording":
        return ""
    clip = table.clips[0]
    return (
        f". Recordings are taken from {table.origins.get('recording') or 'the dataset'}: {clip} counts as one of "
        f"{plain(clip.recording)}. Where every file is a recording of its own, set "
        'dataset.recording to {"pattern": "(.+)"} and dataset.split.by to "recording"'
    )


def _protocol(table: ClipTable, by: str, groups: IntArray, parts: IntArray, folds: int) -> str:
    if by == "recording" and table.origins.get("recording") == EACH_FILE:
        return "recording-disjoint hold-out (each file taken for a recording; speakers unknown or shared)"
    if by == "recording":
        return "recording-disjoint hold-out (speakers unknown or shared)"
    if by == "clip":
        return "clip-wise hold-out (speakers and recordings shared by the parts: figures are optimistic)"
    train, val, test = (len(np.unique(groups[parts == part])) for part in range(3))
    kind = "speakers" if by == "speaker" else "groups; speakers unknown or shared"
    validates = f"validated by {min(folds, train)} folds of them" if folds else f"{val} validation"
    return f"{by}-disjoint hold-out ({train} train / {validates} / {test} test {kind})"


def _predefined(table: ClipTable, config: SplitConfig, seed: int) -> Split:
    """The column ``split`` as it stands; where it names no validation clips, some groups of the train part."""
    without = [clip.name for clip in table.clips if not clip.split]
    unknown = sorted({str(clip.split) for clip in table.clips if clip.split and clip.split.lower() not in SPLIT_NAMES})
    if without or unknown:
        found = f"{some(without)} have none" if without else f"found {some(unknown)}"
        raise DataError(f"the column 'split' must say one of {', '.join(SPLIT_NAMES)} for every clip; {found}")
    parts = np.array([PARTS.index(SPLIT_NAMES[str(clip.split).lower()]) for clip in table.clips])
    if config.val_folds:
        parts[parts == 1] = 0
    if not (parts == 0).any():
        raise DataError("the column 'split' leaves no clip to train on")
    drawn = "" if config.val_folds or (parts == 1).any() else ", validation drawn from train"
    if drawn:
        train = np.flatnonzero(parts == 0)
        by = "speaker" if all(clip.speaker for clip in table.clips) else "recording"
        parts[train] = _assign(table, train, groups_of(table, by), (config.val, 0.0), by, seed)
    _check_train(table, parts)
    folds = f", validated by {config.val_folds} folds of train" if config.val_folds else drawn
    return make_split(table, parts, "split", f"predefined split ({_relation(table, parts)}{folds})")


def _check_train(table: ClipTable, parts: IntArray) -> None:
    train = table.select(np.flatnonzero(parts == 0))
    for target in table.targets:
        unseen = set(table.own_labels(target)) - set(train.own_labels(target))
        if unseen:
            raise DataError(f"the column 'split' leaves no clip to train {target} {some(sorted(unseen))} on")


def _relation(table: ClipTable, parts: IntArray) -> str:
    if not all(clip.speaker for clip in table.clips):
        return "speakers unknown"
    groups = groups_of(table, "speaker")
    shared = sum(len(np.unique(groups[parts == part])) for part in range(3)) - len(np.unique(groups))
    if shared:
        return f"{shared} speakers shared by parts"
    train, val, test = (len(np.unique(groups[parts == part])) for part in range(3))
    return f"speaker-disjoint, {train} train / {val} validation / {test} test speakers"


def make_split(table: ClipTable, parts: IntArray, by: str, protocol: str) -> Split:
    """Make a split of given parts.

    Args:
        table: the clips.
        parts: (clips,): 0 train, 1 validation, 2 test; anything else is left out.
        by: as ``Split.by``.
        protocol: as ``Split.protocol``.
    """
    train, val, test = (tuple(int(index) for index in np.flatnonzero(parts == part)) for part in range(3))
    identities = [sorted(table.clips[index].identity for index in part) for part in (train, val, test)]
    digest = hashlib.sha256(json.dumps(identities).encode()).hexdigest()
    return Split(train, val, test, by, protocol, digest)
