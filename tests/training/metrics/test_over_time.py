"""Answers over time: a step a window, and no more steps than a report may hold."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics.over_time import MOST_STEPS, over_time


def test_a_window_is_a_step_at_its_place_in_the_recording() -> None:
    shares = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)
    found = over_time(np.array([0.0, 2.0]), np.array([2.0, 3.5]), shares, begin=10.5)
    assert found == [[10.5, 12.5, 0.25, 0.75], [12.5, 14.0, 1.0, 0.0]]
    assert {type(each) for step in found for each in step} == {float}  # as JSON has them


@pytest.mark.parametrize("windows", [MOST_STEPS, MOST_STEPS + 1, 3 * MOST_STEPS, 7_201])
def test_neighbours_of_many_windows_are_averaged_and_no_second_is_lost(windows: int) -> None:
    starts = np.arange(windows, dtype=np.float64)
    loud = np.random.default_rng(0).uniform(size=windows)
    found = np.array(over_time(starts, starts + 1, np.stack([loud, 1 - loud], axis=1).astype(np.float32)))
    assert MOST_STEPS / 2 <= len(found) <= MOST_STEPS
    assert found[0, 0] == 0
    assert found[-1, 1] == windows
    assert np.array_equal(found[1:, 0], found[:-1, 1])
    seconds = found[:, 1] - found[:, 0]
    assert (found[:, 2] * seconds).sum() / windows == pytest.approx(loud.mean(), abs=1e-4)
    assert found[:, 2:].sum(axis=1) == pytest.approx(1, abs=2e-4)
