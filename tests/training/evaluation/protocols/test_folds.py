"""Folds: whole groups, inner validation from training groups, and refusals in words."""

from __future__ import annotations

import pytest

from emotions.errors import DataError
from tests.training.data.helpers import table_of
from training.config.dataset import SplitConfig
from training.config.evaluate import Protocol
from training.data.clips import ClipTable
from training.evaluation.protocols.folds import Folds, make_folds

LABELS = ("angry", "happy", "sad")


def balanced(speakers: int) -> ClipTable:
    return table_of([(f"s{s}", label) for s in range(speakers) for label in LABELS for _ in range(2)])


def folds_of(table: ClipTable, protocol: Protocol, folds: int = 5) -> Folds:
    return make_folds(table, protocol, folds, SplitConfig(), [0])


def refused(table: ClipTable, protocol: Protocol, folds: int = 5) -> str:
    with pytest.raises(DataError) as caught:
        folds_of(table, protocol, folds)
    return str(caught.value)


@pytest.mark.parametrize(("protocol", "count"), [("loso", 9), ("group_kfold", 4)])
def test_every_clip_is_tested_once_and_no_speaker_is_on_two_sides(protocol: Protocol, count: int) -> None:
    table = balanced(9)
    folds = folds_of(table, protocol, 4)
    assert len(folds) == count
    assert sorted(clip for split in folds.splits for clip in split.test) == [*range(len(table))]
    for split in folds.splits:
        parts = [{table.clips[clip].speaker for clip in part} for part in (split.train, split.val, split.test)]
        assert all(parts)
        assert sum(map(len, parts)) == 9
        assert sorted([*split.train, *split.val, *split.test]) == [*range(len(table))]
    assert len({split.sha256 for split in folds.splits}) == count
    assert "speaker-disjoint" in folds.protocol
    assert folds_of(table, protocol, 4) == folds


def test_labels_are_spread_as_evenly_as_groups_allow() -> None:
    table = table_of([(f"s{s}", LABELS[s % 3]) for s in range(12) for _ in range(4)])
    for split in folds_of(table, "group_kfold", 4).splits:
        assert {table.clips[clip].labels["emotion"] for clip in split.test} == set(LABELS)


def test_a_hold_out_is_the_split_of_training() -> None:
    folds = folds_of(balanced(9), "holdout")
    assert len(folds) == 1
    assert "hold-out" in folds.protocol
    with pytest.raises(DataError, match=r"set dataset.split.test above 0"):
        make_folds(balanced(9), "holdout", 5, SplitConfig(test=0), [0])


def test_fewer_speakers_than_folds_is_refused() -> None:
    assert (
        refused(balanced(4), "group_kfold", 5)
        == "5 folds by speaker need as many groups, there are 4: lower folds to 4"
    )
    assert "at least 3 speakers, there are 2" in refused(balanced(2), "loso")
    assert "at least 3 groups, there are 2" in refused(balanced(2), "group_kfold", 2)


def test_a_speaker_column_with_gaps_is_refused() -> None:
    table = table_of([("a", "angry"), (None, "sad"), ("b", "angry"), ("c", "sad")])
    assert "a split by speaker needs to know who speaks in 1.wav" in refused(table, "loso")


def test_a_class_that_a_fold_could_not_learn_is_refused() -> None:
    rows = [(f"s{s}", label) for s in range(4) for label in ("angry", "sad")]
    table = table_of([*rows, ("s2", "bored")])
    assert "fold 3 has all clips of emotion bored" in refused(table, "loso")


def test_a_class_of_two_speakers_trains_where_it_is_not_tested() -> None:
    rows = [(f"s{s}", label) for s in range(5) for label in ("angry", "sad")]
    table = table_of([*rows, ("s2", "bored"), ("s3", "bored")])
    for split in folds_of(table, "loso").splits:
        assert "bored" in {table.clips[clip].labels["emotion"] for clip in split.train}
