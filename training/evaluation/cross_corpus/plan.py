"""Which trainings an evaluation across corpora takes, and what each of them tests."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotions.errors import DataError
from training.config.dataset import SplitConfig
from training.data.clips import ClipTable
from training.data.joined import Joined
from training.data.split.splits import PARTS, Split, draw_validation, groups_of, make_split
from training.evaluation.protocols.folds import grouped_by, make_folds

_MIN_GROUPS = 3
_APART = 3
"""What ``make_split`` takes for a clip that is in no part."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        corpora: indices of the corpora that it trains on.
        split: its clips; those that it tests are of other speakers, or of other corpora.
    """

    corpora: tuple[int, ...]
    split: Split


@dataclass(frozen=True)
class Plan:
    """All trainings of an evaluation.

    Attributes:
        trainings: the folds inside each corpus, then each corpus as a whole, then all but one, where there are three.
        untold: why speakers of a corpus cannot be tested by a model of the others, by the corpus's index.
    """

    trainings: tuple[Training, ...]
    untold: dict[int, str]


def plan(corpora: Joined, configs: Sequence[SplitConfig], common: SplitConfig, folds: int, seed: int) -> Plan:
    """Plan the trainings.

    Args:
        corpora: the clips of all.
        configs: the ``dataset.split`` block of each, which says what groups its clips.
        common: that of the step, which says how all are validated.
        folds: folds inside each corpus; fewer where it has fewer speakers.
        seed: of the draws.

    Raises:
        DataError: a corpus cannot be trained on.
    """
    count, found, untold = len(corpora.names), list[Training](), dict[int, str]()
    for corpus, config in enumerate(configs):
        grouped = common.model_copy(update={"by": config.by})
        try:
            found += [Training((corpus,), split) for split in _within(corpora, corpus, grouped, folds, seed)]
        except DataError as error:
            untold[corpus] = str(error)
            _LOG.warning("%s: is not tested by folds of its own: %s", corpora.names[corpus], error)
    every = range(count)
    others = [tuple(each for each in every if each != left) for left in every] if count > 2 else []
    for trained in [*((corpus,) for corpus in every), *others]:
        config = common.model_copy(update={"by": configs[trained[0]].by if len(trained) == 1 else None})
        found.append(Training(trained, _whole(corpora, trained, config, seed)))
    return Plan(tuple(found), untold)


def _within(corpora: Joined, corpus: int, config: SplitConfig, folds: int, seed: int) -> list[Split]:
    """Folds of whole speakers of one corpus."""
    own = corpora.clips([corpus])
    table = corpora.table.select(own)
    groups = len(np.unique(groups_of(table, grouped_by(table, config))))
    if groups < _MIN_GROUPS:
        raise DataError(f"it has {groups} {grouped_by(table, config)}s, folds need {_MIN_GROUPS}")
    cut = make_folds(table, "group_kfold", min(folds, groups), config, [seed])
    return [_in_all(corpora.table, own, [getattr(split, part) for part in PARTS], split.by) for split in cut.splits]


def _whole(corpora: Joined, trained: Sequence[int], config: SplitConfig, seed: int) -> Split:
    """All clips of some corpora train or validate; all clips of the others are tested."""
    own = corpora.clips(trained)
    table = corpora.table.select(own)
    by = _common_by(table) if len(trained) > 1 else grouped_by(table, config)
    validates = np.zeros(len(own), bool)
    if not config.val_folds:
        try:
            validates = draw_validation(table, np.arange(len(own)), by, config.val, seed)
        except DataError as error:
            told = " and ".join(corpora.names[each] for each in trained)
            raise DataError(f"{told}: {error}") from error
    parts = np.full(len(corpora.table), 2)
    parts[own] = validates
    return make_split(corpora.table, parts, by, "corpus-disjoint")


def _common_by(table: ClipTable) -> str:
    return "speaker" if all(clip.speaker for clip in table.clips) else "recording"


def _in_all(table: ClipTable, own: np.ndarray, parts: Sequence[Sequence[int]], by: str) -> Split:
    """A split of some clips as one of all."""
    place = np.full(len(table), _APART)
    for number, clips in enumerate(parts):
        place[own[[*clips]]] = number
    return make_split(table, place, by, f"{by}-disjoint fold")
