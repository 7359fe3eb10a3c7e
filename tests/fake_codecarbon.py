"""A stand-in for CodeCarbon: a machine of 36 watts, two countries, and faults on demand."""

from __future__ import annotations

import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

WATTS = 36.0
MIXES = {
    "DEU": {"carbon_intensity": 400.0, "country_name": "Germany", "year": 2023},
    "CAF": {"carbon_intensity": None, "country_name": "Central African Republic"},
}


class Tracker:
    """The part of ``OfflineEmissionsTracker`` that is used, with a kilogram a kWh.

    Attributes:
        faults: names of the calls that fail, as the real ones do: by returning nothing.
        settings: what the last one was made with.
        sampling: whether the last one that has started reads by itself.
    """

    faults: set[str]
    settings: dict[str, Any]
    sampling: bool

    def __init__(self, **settings: Any) -> None:
        type(self).settings = settings
        self._began = 0.0
        self._force_cpu_power = settings["force_cpu_power"]
        cpu = type("CPU", (), {"_mode": "cpu_load", "_tdp": 65.0, "_is_generic_tdp": False})()
        self._hardware = [type("RAM", (), {})(), cpu]

    def start(self) -> None:
        if "start" in self.faults:
            raise OSError("no counters")
        self._began = time.perf_counter()
        type(self).sampling = True
        self._scheduler_monitor_power = SimpleNamespace(stop=lambda: setattr(type(self), "sampling", False))

    def flush(self) -> float | None:
        return None if "flush" in self.faults else self._kwh()

    def stop(self) -> float | None:
        if "stop" in self.faults:
            return None
        kwh = self._kwh()
        self.final_emissions_data = SimpleNamespace(cpu_energy=kwh * 0.75, gpu_energy=0.0, ram_energy=kwh * 0.25)
        return kwh

    def get_detected_hardware(self) -> dict[str, Any]:
        return {"cpu_model": "A CPU", "gpu_model": ""}

    def _kwh(self) -> float:
        return WATTS * (time.perf_counter() - self._began) / 3.6e6


def install(monkeypatch: pytest.MonkeyPatch) -> type[Tracker]:
    """Put it where CodeCarbon would be; the class of its trackers."""
    package, data = ModuleType("codecarbon"), ModuleType("codecarbon.input")
    tracker = type("FakeTracker", (Tracker,), {"faults": set(), "settings": {}, "sampling": False})
    source = SimpleNamespace(get_global_energy_mix_data=lambda: MIXES)
    vars(package).update(OfflineEmissionsTracker=tracker, __spec__=SimpleNamespace())
    vars(data).update(DataSource=lambda: source)
    monkeypatch.setitem(sys.modules, "codecarbon", package)
    monkeypatch.setitem(sys.modules, "codecarbon.input", data)
    return tracker
