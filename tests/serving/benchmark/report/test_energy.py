from __future__ import annotations

import pytest

from emotions.pipeline.energy.energy import Energy
from emotions.pipeline.energy.meter import Meter
from serving.benchmark.driver.passes import Layer, Pass
from serving.benchmark.report.energy import LayerEnergy, energy_notes, energy_rows


class Counting(Meter):
    """A meter by which each reading is so many joules after the one before."""

    def __init__(self, *steps: float | None) -> None:
        super().__init__()
        self._readings = [*steps]
        self.energy = Energy(
            joules=7200, grams_co2e=0.8, seconds=1, joules_of={"cpu": 7200}, how={"cpu": "estimated: x"}, grid="g"
        )

    def joules(self) -> float | None:
        return self._readings.pop(0)


def test_an_hour_of_audio_takes_the_joules_of_a_pass_by_its_audio() -> None:
    layers = LayerEnergy(Counting(0, 9, 10, 30, 40, 80))
    run = layers.metered(Layer("folder", lambda: Pass(1, 1)))
    for _ in range(3):  # one that warms up, and two that count
        run()
    report = layers.summary(2, 36.0)
    found = report["energy"]["layers"]["folder"]["joules_per_audio_hour"]
    assert (found["min"], found["median"], found["max"]) == (2000, 3000, 4000)
    assert energy_rows(report) == [
        ("layer", "joules", "min", "max", "g CO2e"),
        ("folder", "3,000", "2,000", "4,000", "0.333"),
    ]
    assert energy_notes(report)[0].endswith(
        "7,200 J (2 Wh), 0.8 g CO2e, estimated: cpu 7,200 J (2 Wh) (estimated: x); grid g"
    )


def test_a_layer_with_a_pass_that_was_not_measured_has_no_figure() -> None:
    layers = LayerEnergy(Counting(0, 9, 10, None))
    run = layers.metered(Layer("folder", lambda: Pass(1, 1)))
    run()
    run()
    assert layers.summary(2, 36.0)["energy"]["layers"] == {}


@pytest.mark.parametrize("report", [{}, LayerEnergy(Meter()).summary(1, 1.0)])
def test_without_energy_there_is_no_table(report: dict[str, object]) -> None:
    assert len(energy_rows(report)) == 1
    assert energy_notes(report) == []
