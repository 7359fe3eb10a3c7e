from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.errors import DataError
from tests.training.data.helpers import read, table_of
from training.config.dataset import SplitConfig
from training.data.clips import ClipTable
from training.data.split.splits import Split, split_clips

LABELS = ("angry", "happy", "sad")


def balanced(speakers: int, each: int = 2) -> ClipTable:
    return table_of([(f"s{s}", label) for s in range(speakers) for label in LABELS for _ in range(each)])


def speakers(table: ClipTable, part: tuple[int, ...]) -> set[str | None]:
    return {table.clips[index].speaker for index in part}


def labels(table: ClipTable, part: tuple[int, ...]) -> set[str]:
    return {table.clips[index].labels["emotion"] for index in part}


def refused(table: ClipTable, config: SplitConfig | None = None) -> str:
    with pytest.raises(DataError) as caught:
        split_clips(table, config or SplitConfig(), 0)
    return str(caught.value)


def holds(table: ClipTable, split: Split) -> None:
    parts = (split.train, split.val, split.test)
    assert sorted(chain(*parts)) == list(range(len(table)))
    assert all(list(part) == sorted(part) for part in parts)


@settings(deadline=None, max_examples=30)
@given(
    sizes=st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=4, max_size=12),
    seed=st.integers(0, 2**32 - 1),
)
def test_parts_are_disjoint_complete_and_the_same_every_time(sizes: list[list[int]], seed: int) -> None:
    rows = [(f"s{s}", LABELS[n]) for s, counts in enumerate(sizes) for n, c in enumerate(counts) for _ in range(c + 1)]
    table = table_of(rows)
    split = split_clips(table, SplitConfig(), seed)
    holds(table, split)
    train, val, test = (speakers(table, part) for part in (split.train, split.val, split.test))
    assert train
    assert val
    assert test
    assert not train & val
    assert not train & test
    assert not val & test
    assert labels(table, split.train) == labels(table, split.val) == labels(table, split.test) == set(LABELS)
    assert split_clips(table, SplitConfig(), seed) == split


@settings(deadline=None, max_examples=30)
@given(
    rows=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 4)), min_size=20, max_size=60),
    seed=st.integers(0, 100),
)
def test_any_table_is_split_well_or_refused(rows: list[tuple[int, int]], seed: int) -> None:
    table = table_of([(f"s{speaker}", f"l{label}") for speaker, label in rows])
    try:
        split = split_clips(table, SplitConfig(), seed)
    except DataError:
        return
    holds(table, split)
    assert labels(table, split.train) == set(table.labels("emotion"))
    assert split.val
    assert split.test
    assert not speakers(table, split.train) & (speakers(table, split.val) | speakers(table, split.test))


def test_shares_of_every_label_are_near_the_wanted_ones() -> None:
    table = balanced(20)
    split = split_clips(table, SplitConfig(val=0.2, test=0.3), 0)
    assert (len(split.val), len(split.test)) == (24, 36)
    assert split.protocol == "speaker-disjoint hold-out (10 train / 4 validation / 6 test speakers)"
    assert split.by == "speaker"


def test_a_class_of_two_speakers_among_many_reaches_train_and_test() -> None:
    rows = [(f"s{s}", label) for s in range(300) for label in LABELS]
    table = table_of([*rows, ("s17", "rare"), ("s91", "rare")])
    split = split_clips(table, SplitConfig(), 0)
    assert "rare" in labels(table, split.train)
    assert "rare" in labels(table, split.test)


def test_another_seed_gives_another_split_and_hash() -> None:
    table = balanced(20)
    first, second = (split_clips(table, SplitConfig(), seed) for seed in (0, 1))
    assert first.sha256 != second.sha256
    assert len(first.sha256) == 64


def test_the_hash_does_not_depend_on_the_order_of_the_clips() -> None:
    rows = [(f"s{index % 12}", LABELS[index // 12]) for index in range(36)]
    parts = ["train", "val", "test"] * 12
    table = table_of(rows, split=parts)
    forth, back = (split_clips(each, SplitConfig(), 0) for each in (table, table.select(range(35, -1, -1))))
    assert forth.sha256 == back.sha256
    assert forth.train != back.train
    assert split_clips(table_of(rows, split=parts[1:] + parts[:1]), SplitConfig(), 0).sha256 != forth.sha256


def test_no_test_part_if_none_is_wanted() -> None:
    split = split_clips(balanced(2), SplitConfig(val=0.3, test=0), 0)
    assert split.test == ()
    assert split.val
    assert split.protocol == "speaker-disjoint hold-out (1 train / 1 validation / 0 test speakers)"


def test_by_recording_where_speakers_are_unknown() -> None:
    table = table_of([(None, label) for _ in range(8) for label in LABELS])
    split = split_clips(table, SplitConfig(), 0)
    recordings = [{table.clips[i].recording for i in part} for part in (split.train, split.val, split.test)]
    assert split.protocol == "recording-disjoint hold-out (speakers unknown or shared)"
    assert not recordings[0] & (recordings[1] | recordings[2])


def test_a_blank_speaker_does_not_change_the_protocol() -> None:
    rows: list[tuple[str | None, str]] = [(f"s{s}", label) for s in range(6) for label in ("a", "b")]
    assert "who speaks in" in refused(table_of([*rows, (None, "a")]))


def test_by_speaker_without_speakers_names_the_keys_to_give() -> None:
    message = refused(table_of([(None, "a"), (None, "b"), ("x", "a")]), SplitConfig(by="speaker"))
    assert 'dataset.speaker {"column": NAME} or {"pattern": REGEX}' in message
    assert 'dataset.split.by "recording"' in message
    assert "0.wav, 1.wav" in message


def test_by_a_column() -> None:
    rows = [(None, label) for _ in range(6) for label in LABELS]
    table = table_of(rows, room=[f"r{index // 3}" for index in range(18)])
    split = split_clips(table, SplitConfig(by="room"), 0)
    rooms = [{table.clips[i].columns["room"] for i in part} for part in (split.train, split.val, split.test)]
    assert not rooms[0] & (rooms[1] | rooms[2])
    assert split.protocol.startswith("room-disjoint hold-out (4 train / 1 validation / 1 test groups")
    assert "room" in refused(table, SplitConfig(by="house"))


def test_by_clip_only_if_the_user_says_so() -> None:
    split = split_clips(balanced(3, each=8), SplitConfig(by="clip"), 0)
    assert "optimistic" in split.protocol


def test_a_class_of_one_speaker_is_refused_by_name() -> None:
    rows = [(f"s{s}", label) for s in range(6) for label in LABELS]
    message = refused(table_of([*rows, ("s0", "bored"), ("s0", "bored")]))
    assert "emotion 'bored'" in message
    assert 'dataset.split.by "recording"' in message
    assert "'angry'" not in message


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_speakers(count: int) -> None:
    assert f"at least 3 groups, there are {count}" in refused(balanced(count))


def test_groups_that_leave_no_test_part_are_refused() -> None:
    rows = [("a", "x"), ("b", "x"), ("b", "y"), ("c", "y"), ("a", "z"), ("c", "z")]
    assert "too few groups (3)" in refused(table_of(rows))


PREDEFINED = ["train", "Train", "validation", "dev", "test", "val"]


def test_a_predefined_split_is_taken_as_it_stands() -> None:
    rows = [("s0", "a"), ("s1", "b"), ("s2", "a"), ("s2", "b"), ("s3", "a"), ("s4", "b")]
    split = split_clips(table_of(rows, split=PREDEFINED), SplitConfig(), 0)
    assert (split.train, split.val, split.test) == ((0, 1), (2, 3, 5), (4,))
    assert split.protocol == "predefined split (speaker-disjoint, 2 train / 2 validation / 1 test speakers)"


def test_a_predefined_split_that_shares_speakers_says_so() -> None:
    rows = [("s0", "a"), ("s1", "b"), ("s0", "a"), ("s2", "b"), ("s3", "a"), ("s4", "b")]
    assert "1 speakers shared" in split_clips(table_of(rows, split=PREDEFINED), SplitConfig(), 0).protocol


def test_a_predefined_split_without_validation_draws_it_from_train() -> None:
    table = balanced(6)
    parts = ["test" if clip.speaker == "s0" else "train" for clip in table.clips]
    table = table_of([(clip.speaker, clip.labels["emotion"]) for clip in table.clips], split=parts)
    split = split_clips(table, SplitConfig(), 0)
    assert speakers(table, split.test) == {"s0"}
    assert len(speakers(table, split.val)) == 1
    assert not speakers(table, split.val) & speakers(table, split.train)
    assert "validation drawn from train" in split.protocol


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["train", "holdout", "val", "test"], "found holdout"),
        (["train", "", "val", "test"], "1.wav have none"),
        (["val", "val", "test", "test"], "no clip to train on"),
        (["train", "val", "train", "test"], "no clip to train emotion b on"),
    ],
)
def test_predefined_splits_that_cannot_be_used(parts: list[str], said: str) -> None:
    rows = [("s0", "a"), ("s1", "b"), ("s2", "a"), ("s3", "b")]
    assert said in refused(table_of(rows, split=parts), SplitConfig(by="split"))


def test_a_split_column_with_gaps_is_not_the_default() -> None:
    table = balanced(4)
    rows = [(clip.speaker, clip.labels["emotion"]) for clip in table.clips]
    assert split_clips(table_of(rows, split=["train", *[""] * 23]), SplitConfig(), 0).by == "speaker"


def test_emodb4_by_speaker(emodb4: Path) -> None:
    table = read(emodb4)
    split = split_clips(table, SplitConfig(), 0)
    holds(table, split)
    assert split.by == "speaker"
    for target in table.targets:
        for part in (split.train, split.val, split.test):
            assert table.select(part).labels(target) == table.labels(target)
    assert 0.08 < len(split.val) / 339 < 0.25
    assert 0.08 < len(split.test) / 339 < 0.25
