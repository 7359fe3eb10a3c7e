from __future__ import annotations

import pytest

from emotions.pipeline.energy.energy import Energy, in_full, in_short, total


def energy(joules: float, how: str = "estimated: CPU time by 65 W", grid: str = "400 g/kWh") -> Energy:
    return Energy(
        joules=joules,
        grams_co2e=joules / 9000,
        seconds=1,
        joules_of={"cpu": joules},
        how={"cpu": how},
        grid=grid,
    )


def test_parts_add_up_and_those_that_were_not_measured_are_counted() -> None:
    summed = total([energy(10), None, energy(30)])
    assert summed is not None
    assert (summed.joules, summed.joules_of, summed.seconds) == (40, {"cpu": 40}, 2)
    assert (summed.measured, summed.of) == (2, 3)
    assert "covers 2 of 3 parts" in in_short(summed)
    again = total([summed, None])
    assert again is not None
    assert (again.measured, again.of) == (2, 4)
    assert total([None, None]) is None
    assert total([]) is None


def test_a_whole_sum_says_nothing_of_parts() -> None:
    summed = total([energy(10), energy(30, grid="50 g/kWh")])
    assert summed is not None
    assert "covers" not in in_full(summed)
    assert summed.how == {"cpu": "estimated: CPU time by 65 W"}
    assert summed.grid == "400 g/kWh; 50 g/kWh"


@pytest.mark.parametrize(
    ("how", "verdict", "machine"),
    [
        ({"cpu": "estimated: x", "memory": "estimated: y"}, "estimated", False),
        ({"cpu": "measured: RAPL"}, "measured", True),
        ({"cpu": "measured: RAPL", "memory": "estimated: y"}, "in part measured, in part estimated", True),
    ],
)
def test_an_estimate_is_never_called_measured(how: dict[str, str], verdict: str, machine: bool) -> None:
    found = energy(1).model_copy(update={"how": how})
    assert (found.verdict, found.of_the_machine) == (verdict, machine)
    assert f", {verdict}" in in_short(found)


def test_the_words_have_joules_grams_and_how() -> None:
    assert in_short(energy(900)) == "900 J, 0.1 g CO2e, estimated"
    assert in_full(energy(7200)) == (
        "7,200 J (2 Wh), 0.8 g CO2e, estimated: cpu 7,200 J (2 Wh) (estimated: CPU time by 65 W); grid 400 g/kWh"
    )
