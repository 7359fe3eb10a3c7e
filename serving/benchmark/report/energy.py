"""What an hour of audio takes of energy by each layer, and what all passes of the layers took."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from emotions.pipeline.energy.energy import Energy, in_full
from emotions.pipeline.energy.meter import Meter
from serving.benchmark.driver.passes import Layer, Pass
from serving.benchmark.driver.statistics import spread

_HOUR_SEC = 3_600.0
_SPREAD = ("median", "min", "max")


class LayerEnergy:
    """Joules of each pass of each layer.

    Args:
        meter: of all passes.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._joules: dict[str, list[float | None]] = {}

    def metered(self, layer: Layer) -> Callable[[], Pass]:
        """The layer's pass, with its joules noted.

        Args:
            layer: to run.
        """

        def run() -> Pass:
            before = self._meter.joules()
            done = layer.run()
            after = self._meter.joules()
            spent = None if before is None or after is None else after - before
            self._joules.setdefault(layer.name, []).append(spent)
            return done

        return run

    def summary(self, passes: int, audio_sec: float) -> dict[str, Any]:
        """The report's key ``energy``, once the meter has ended; nothing where it has no figure.

        Args:
            passes: that count, the last ones of each layer: what warmed up before does not.
            audio_sec: seconds of audio in a pass.
        """
        energy = self._meter.energy
        if energy is None:
            return {}
        counted = {name: [each for each in some[-passes:] if each is not None] for name, some in self._joules.items()}
        layers = {
            name: {"joules_per_audio_hour": spread([each * _HOUR_SEC / audio_sec for each in some])}
            for name, some in counted.items()
            if len(some) == passes
        }
        return {"energy": {"whole": energy.model_dump(mode="json"), "layers": layers}}


def energy_rows(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Joules and grams of an hour of audio as rows of words, a layer each, the head first.

    Args:
        report: of a benchmark; without ``energy`` there are none.
    """
    head = ("layer", "joules", "min", "max", "g CO2e")
    if "energy" not in report:
        return [head]
    whole = Energy.model_validate(report["energy"]["whole"])
    grams_of_joule = whole.grams_co2e / whole.joules if whole.joules else 0.0
    rows = []
    for name, layer in report["energy"]["layers"].items():
        joules = layer["joules_per_audio_hour"]
        figures = (f"{joules[key]:,.3g}" if joules[key] < 1_000 else f"{joules[key]:,.0f}" for key in _SPREAD)
        rows.append((name, *figures, f"{joules['median'] * grams_of_joule:.3g}"))
    return [head, *rows]


def energy_notes(report: Mapping[str, Any]) -> list[str]:
    """What all passes took, and how it was found. Args as ``energy_rows``."""
    if "energy" not in report:
        return []
    whole = Energy.model_validate(report["energy"]["whole"])
    return [f"all passes of the layers, the warming up and the clients included: {in_full(whole)}"]
