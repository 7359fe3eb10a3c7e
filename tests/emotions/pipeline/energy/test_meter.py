"""The meter beside work: its figures, and that no fault of it ends the work."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from emotions.pipeline.energy import meter as module
from emotions.pipeline.energy.config import EnergyConfig
from emotions.pipeline.energy.meter import measuring
from tests.fake_codecarbon import WATTS, Tracker

GERMANY = EnergyConfig(country="DEU")


def test_energy_is_power_by_time(codecarbon: type[Tracker]) -> None:
    with measuring(GERMANY) as meter:
        time.sleep(0.2)
        first = meter.joules()
        time.sleep(0.2)
    found = meter.energy
    assert found is not None
    assert first is not None
    assert found.joules == pytest.approx(WATTS * found.seconds, rel=0.05)
    assert 0 < first < found.joules
    assert found.grams_co2e == pytest.approx(found.joules / 3.6e6 * 400)
    assert sum(found.joules_of.values()) == pytest.approx(found.joules)
    assert found.how == {
        "cpu": "estimated: CPU time by 65 W, CodeCarbon's figure for A CPU",
        "memory": "estimated: by its size",
    }
    assert not [each for each in threading.enumerate() if each.name == "energy" and each.is_alive() and not wait(each)]


def wait(thread: threading.Thread) -> bool:
    thread.join(5)
    return not thread.is_alive()


def test_nothing_is_left_to_what_the_user_or_the_machine_has_set(codecarbon: type[Tracker]) -> None:
    with measuring(EnergyConfig(grams_per_kwh=100, cpu_watts=65)) as meter:
        pass
    asked = codecarbon.settings
    assert asked["force_cpu_power"] == 65
    assert asked["output_methods"] == []
    assert not any(asked[name] for name in ("api_endpoint", "emissions_endpoint", "electricitymaps_api_token"))
    assert meter.energy is not None
    assert meter.energy.how["cpu"].endswith("as given")


def test_nobody_but_the_meter_reads_the_tracker(codecarbon: type[Tracker]) -> None:
    with measuring(GERMANY):
        assert not codecarbon.sampling


def test_without_a_wish_nothing_is_measured() -> None:
    with measuring(None) as meter:
        assert meter.joules() is None
    assert meter.energy is None


@pytest.mark.parametrize("fault", ["start", "flush", "stop"])
def test_the_work_goes_on_where_the_tracker_fails(
    codecarbon: type[Tracker], fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    codecarbon.faults.add(fault)
    with caplog.at_level(logging.WARNING), measuring(GERMANY) as meter:
        worked = True
    assert worked
    assert meter.energy is None
    [line] = caplog.messages
    assert line.startswith("energy: is not measured (")


def test_a_reading_that_fails_in_the_middle_ends_the_measuring_alone(
    codecarbon: type[Tracker], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), measuring(GERMANY) as meter:
        assert meter.joules() is not None
        codecarbon.faults.add("flush")
        assert meter.joules() is None
        assert meter.joules() is None
    assert meter.energy is None
    assert len(caplog.messages) == 1


def test_a_reading_after_the_end_is_none_and_no_fault(
    codecarbon: type[Tracker], caplog: pytest.LogCaptureFixture
) -> None:
    """As one has that waits for the tracker while it is ended."""
    with caplog.at_level(logging.WARNING), measuring(GERMANY) as meter:
        pass
    codecarbon.faults.add("flush")
    assert meter.joules() is None
    assert meter.energy is not None
    assert caplog.messages == []


def test_a_reading_that_hangs_is_given_up(
    codecarbon: type[Tracker], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SEC", 0.1)
    with measuring(GERMANY) as meter:
        meter._lock.acquire()
    meter._lock.release()
    assert meter.energy is None
    assert "has not ended for 0.1 s" in caplog.text


def test_an_error_of_the_work_is_the_works(codecarbon: type[Tracker]) -> None:
    with pytest.raises(ZeroDivisionError), measuring(GERMANY) as meter:
        raise ZeroDivisionError
    assert meter.energy is not None
