"""How long a benchmark takes, and what it says of that."""

from __future__ import annotations

import dataclasses

import pytest

from serving.benchmark.report.tables import scenario_notes
from serving.benchmark.scenarios.profile import FULL, FULL_SOAK_SEC, QUICK, BenchmarkProfile, Clock


@pytest.mark.parametrize("profile", [QUICK, FULL])
def test_nothing_is_measured_less_than_three_times(profile: BenchmarkProfile) -> None:
    assert min(profile.repeats, profile.passes, profile.peer_passes) >= 3
    assert len({*profile.seeds(1), *profile.seeds(2)}) == 2 * profile.repeats


def test_a_quick_run_measures_less_of_everything() -> None:
    assert all(
        getattr(QUICK, field.name) <= getattr(FULL, field.name)
        for field in dataclasses.fields(BenchmarkProfile)
        if field.name != "seed"
    )


def test_a_clock_says_and_adds_up_parts_even_of_those_that_fail() -> None:
    said: list[str] = []
    clock = Clock(said.append)
    for _ in range(2):
        with clock.part("layers"):
            pass
    with pytest.raises(KeyError), clock.part("peers"):
        raise KeyError
    assert said == ["layers", "layers", "peers"]
    assert list(clock.parts_sec) == ["layers", "peers"]
    assert all(0 <= seconds < 1 for seconds in clock.parts_sec.values())


@pytest.mark.parametrize(("seconds", "told"), [(50.0, "50 s, shortened from 600 s, at"), (FULL_SOAK_SEC, "600 s at")])
def test_a_soak_that_is_cut_short_is_called_so(seconds: float, told: str) -> None:
    soak = {"seconds": seconds, "failed": 0, "shed": 0, "p99_last_quarter_of_first": 1.0, "memory_growth": 0.0}
    assert told in next(scenario_notes({"soak": soak}))
