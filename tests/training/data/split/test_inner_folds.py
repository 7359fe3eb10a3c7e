"""Inner folds leave out each group once, keep every class in training, and never touch the test part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.errors import DataError
from tests.training.data.helpers import table_of
from training.config.dataset import SplitConfig
from training.data.split.inner_folds import inner_folds
from training.data.split.splits import split_clips

LABELS = ("angry", "happy", "sad")


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from(LABELS)), min_size=8, max_size=40),
    st.integers(2, 6),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=80)
def test_each_clip_is_left_out_at_most_once_and_every_class_stays(
    rows: list[tuple[int, str]], folds: int, seed: int
) -> None:
    table = table_of([(f"s{speaker}", label) for speaker, label in rows])
    config = SplitConfig(val_folds=folds, test=0)
    try:
        split = split_clips(table, config, seed)
        found = inner_folds(table, split, folds, seed)
    except DataError as error:
        assert "needs at least" in str(error) or "cannot put these classes" in str(error)  # noqa: PT017
        return
    assert 1 <= len(found) <= folds
    left = [clip for each in found for clip in each.test]
    assert len(left) == len(set(left))
    for each in found:
        assert each.val == ()
        assert sorted((*each.train, *each.test)) == list(split.train)
        trained, tested = ({table.clips[clip].speaker for clip in part} for part in (each.train, each.test))
        assert not trained & tested
        assert {table.clips[clip].labels["emotion"] for clip in each.train} == {label for _, label in rows}


def test_there_are_no_more_folds_than_speakers_and_the_test_part_is_in_none() -> None:
    table = table_of([(f"s{speaker}", label) for speaker in range(4) for label in LABELS])
    split = split_clips(table, SplitConfig(val_folds=5, test=0.25), 0)
    assert (len(split.train), len(split.val), len(split.test)) == (9, 0, 3)
    assert split.protocol == "speaker-disjoint hold-out (3 train / validated by 3 folds of them / 1 test speakers)"
    found = inner_folds(table, split, 5, 0)
    assert len(found) == 3
    assert sorted(clip for each in found for clip in each.test) == list(split.train)
    assert not {clip for each in found for clip in (*each.train, *each.test)} & {*split.test}


def test_a_speaker_who_alone_has_a_class_stays_in_training() -> None:
    rows = [(f"s{speaker}", label) for speaker in range(4) for label in LABELS]
    table = table_of([*rows, ("s0", "bored")])
    every = tuple(range(len(table)))
    split = split_clips(table_of(rows), SplitConfig(val_folds=2, test=0), 0)
    whole = type(split)(every, (), (), "speaker", split.protocol, split.sha256)
    left = {table.clips[clip].speaker for each in inner_folds(table, whole, 4, 0) for clip in each.test}
    assert left == {"s1", "s2", "s3"}


def test_two_speakers_with_nothing_in_common_are_refused() -> None:
    table = table_of([("s0", "angry"), ("s0", "sad"), ("s1", "happy"), ("s1", "bored")])
    split = split_clips(table_of([("s0", "a"), ("s1", "a")]), SplitConfig(val_folds=2, test=0), 0)
    whole = type(split)(tuple(np.arange(4).tolist()), (), (), "speaker", "", "")
    with pytest.raises(DataError, match=r"val_folds: needs at least 2 speakers whose classes others have too"):
        inner_folds(table, whole, 2, 0)


def test_a_predefined_split_trains_on_its_validation_part() -> None:
    rows = [(f"s{speaker}", label) for speaker in range(4) for label in LABELS]
    parts = [{"s0": "test", "s1": "dev"}.get(speaker, "train") for speaker, _ in rows]
    split = split_clips(table_of(rows, split=parts), SplitConfig(val_folds=3), 0)
    assert (len(split.train), len(split.val), len(split.test)) == (9, 0, 3)
    assert "validated by 3 folds of train" in split.protocol
    assert len(inner_folds(table_of(rows, split=parts), split, 3, 0)) == 3
