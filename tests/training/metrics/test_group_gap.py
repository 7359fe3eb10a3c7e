"""Groups are told equal or unequal only where the clips tell it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from training.metrics.classification import Array
from training.metrics.group_gap import group_gap

CLASSES = 4
LIMIT = 0.075
SETS = 1_000


def drawn(
    random: np.random.Generator, groups: int, clips: int, speakers: int, spread: float, gap: float
) -> tuple[Array, Array]:
    """Right clips and clips, (groups, speakers, classes), of a model that is worse by ``gap`` for the first group."""
    right, every = np.zeros((2, groups, groups * speakers, CLASSES))
    for group in range(groups):
        mean = 0.8 - (gap if group == 0 else 0.0)
        concentration = mean * (1 - mean) / spread**2 - 1
        own = random.beta(mean * concentration, (1 - mean) * concentration, speakers)
        speaker, label = np.arange(clips) // CLASSES % speakers, np.arange(clips) % CLASSES
        np.add.at(every[group], (group * speakers + speaker, label), 1)
        np.add.at(right[group], (group * speakers + speaker, label), random.random(clips) < own[speaker])
    return right, every


@pytest.mark.slow
@pytest.mark.parametrize("groups", [2, 8])
@pytest.mark.parametrize(("clips", "speakers"), [(10, 3), (50, 10), (300, 10), (300, 30), (1_200, 60)])
def test_false_verdicts_are_rare(groups: int, clips: int, speakers: int, capsys: pytest.CaptureFixture[str]) -> None:
    sets = SETS if groups == 2 else SETS // 5
    allowed = 0.05 + 1.96 * np.sqrt(0.05 * 0.95 / sets)
    for spread in (0.05, 0.1):
        told = []
        for gap in (0.0, 0.08, 0.2):
            random = np.random.default_rng(groups + clips)
            found = Counter(
                group_gap(*drawn(random, groups, clips, speakers, spread, gap), LIMIT).verdict for _ in range(sets)
            )
            told.append("/".join(f"{found[name] / sets:.3f}" for name in ("pass", "fail", "cannot be told")))
            assert (found["pass"] if gap > LIMIT else found["fail"]) / sets <= allowed, (spread, gap, found)
        with capsys.disabled():
            print(f"\n{groups} groups of {clips} clips of {speakers} speakers, {spread}: " + ", ".join(told))


def test_ten_clips_a_group_tell_nothing_and_it_is_said_how_many_would() -> None:
    random = np.random.default_rng(0)
    found = group_gap(*drawn(random, 2, 10, 5, 0.05, 0.0), LIMIT)
    assert found.verdict == "cannot be told"
    assert found.clips_to_tell is not None
    assert found.clips_to_tell > 500
    more = [group_gap(*drawn(random, 2, found.clips_to_tell, 200, 0.05, 0.0), LIMIT).verdict for _ in range(50)]
    assert more.count("pass") > 40


def test_classes_that_one_group_lacks_are_left_out() -> None:
    clips = np.zeros((2, 100, 3))
    clips[0, :50], clips[1, 50:, :2] = 8, 8
    right = clips.copy()
    right[0, :, 2] = 0  # the first group's third class is never recognised, and the second has none of it
    found = group_gap(right, clips, LIMIT)
    assert found.pair is not None
    assert (found.verdict, found.pair.gap) == ("pass", 0)
    apart = clips * np.array([[[1, 0, 0]], [[0, 1, 0]]])
    assert group_gap(apart, apart, LIMIT).pair is None


def test_the_same_speakers_in_both_groups_are_compared_with_themselves() -> None:
    random = np.random.default_rng(3)
    own = random.beta(4, 2, 40)  # speakers who differ much, and no group that does
    clips = np.full((2, 40, CLASSES), 40.0)
    right = random.binomial(40, own[:, None], (2, 40, CLASSES)).astype(float)
    assert group_gap(right, clips, LIMIT).verdict == "pass"
    apart_right, apart_clips = np.zeros((2, 2, 80, CLASSES))
    apart_right[0, :40], apart_clips[0, :40] = right[0], 40
    apart_right[1, 40:], apart_clips[1, 40:] = random.permutation(right[1]), 40
    assert group_gap(apart_right, apart_clips, LIMIT).verdict == "cannot be told"


def test_a_group_of_one_speaker_is_no_group() -> None:
    clips = np.zeros((2, 21, 2))
    clips[0, 0], clips[1, 1:] = 400, 40
    found = group_gap(clips, clips, LIMIT)
    assert (found.verdict, found.pair, found.clips_to_tell) == ("cannot be told", None, None)
