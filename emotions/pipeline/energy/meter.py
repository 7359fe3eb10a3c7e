"""A meter beside some work: it reads each second in a thread, and whatever fails in it, the work goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from emotions.errors import EmotionsError, first_line
from emotions.pipeline.energy.config import EnergyConfig
from emotions.pipeline.energy.energy import Energy
from emotions.pipeline.energy.grid import Grid, grid_of
from emotions.pipeline.energy.library import how_found, open_tracker, stop_sampling

_JOULES_PER_KWH = 3.6e6
_EVERY_SEC = 1.0
"""Of a process that ends, what it did since the last reading is not seen."""
_PATIENCE_SEC = 20.0
"""For a reading that hangs in a driver; it is given up then."""
_LOG = logging.getLogger(__name__)


class Meter:
    """Energy of a block of work, as ``measuring`` gives it.

    Attributes:
        energy: once the work has ended; None where it was not asked for, or could not be measured.
    """

    def __init__(self) -> None:
        self.energy: Energy | None = None
        self._tracker: Any = None
        self._grid = Grid(0.0, "")
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._read_on, name="energy", daemon=True)
        self._began = 0.0

    def joules(self) -> float | None:
        """Joules so far; None where nothing is measured, or the work has ended."""
        if self._tracker is None:
            return None
        try:
            return self._read()
        except Exception as error:  # noqa: BLE001 - no meter ends the work
            self._give_up(error)
            return None

    def _open(self, config: EnergyConfig) -> None:
        try:
            self._grid, tracker = grid_of(config), open_tracker(config.cpu_watts)
            tracker.start()
            stop_sampling(tracker)
            self._tracker, self._began = tracker, time.perf_counter()
            self._read()
            self._thread.start()
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(error)

    def _close(self) -> None:
        self._ending.set()
        if self._tracker is None:
            return
        try:
            self.energy = self._concluded()
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(error)

    def _concluded(self) -> Energy:
        tracker, how = self._tracker, how_found(self._tracker)
        with self._alone():
            kwh, seconds = tracker.stop(), time.perf_counter() - self._began
        if kwh is None:
            raise EmotionsError("CodeCarbon could not end it")
        last = tracker.final_emissions_data
        kwh_of = {"cpu": last.cpu_energy, "gpu": last.gpu_energy, "memory": last.ram_energy}
        return Energy(
            joules=kwh * _JOULES_PER_KWH,
            grams_co2e=kwh * self._grid.grams_per_kwh,
            seconds=seconds,
            joules_of={name: each * _JOULES_PER_KWH for name, each in kwh_of.items() if name in how},
            how=how,
            grid=self._grid.source,
        )

    def _read(self) -> float | None:
        with self._alone():
            if self._ending.is_set():  # it has waited for the end, after which the tracker gives nothing
                return None
            kwh = self._tracker.flush()
        if kwh is None:  # it tells its errors to its log alone
            raise EmotionsError("CodeCarbon could not read it")
        return float(kwh) * _JOULES_PER_KWH

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The tracker for one thread. Raises EmotionsError where another one hangs in it."""
        if not self._lock.acquire(timeout=_PATIENCE_SEC):
            raise EmotionsError(f"a reading has not ended for {_PATIENCE_SEC:g} s")
        try:
            yield
        finally:
            self._lock.release()

    def _read_on(self) -> None:
        while not self._ending.wait(_EVERY_SEC):
            if self.joules() is None:
                return

    def _give_up(self, error: Exception) -> None:
        self._tracker = None
        _LOG.warning("energy: is not measured (%s); the work goes on without", first_line(error))


@contextmanager
def measuring(config: EnergyConfig | None) -> Iterator[Meter]:
    """Measure the energy of a block; an error of the meter is a warning, and no energy.

    Args:
        config: how; None for no measuring at all.

    Example:
        >>> with measuring(EnergyConfig(country="DEU")) as meter:
        ...     work()
        >>> meter.energy.joules
    """
    meter = Meter()
    if config is not None:
        meter._open(config)
    try:
        yield meter
    finally:
        meter._close()
