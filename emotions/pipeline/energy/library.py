"""All that is used of CodeCarbon: its table of grids, and its tracker, which asks nobody and writes nothing.

Every setting of the tracker is given, so that neither a file in the user's home or working folder nor a variable of
the environment changes it: what is not given it reads there, addresses and keys of services included.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from typing import Any

from emotions.pipeline.energy.energy import ESTIMATED, MEASURED

_NEVER_SEC = 1e6
"""Between two readings of the tracker's own, which print a traceback when they fail: ours are in ``meter``."""
_GRAMS_PER_KWH = 1_000.0
"""With a kilogram for each kWh, the kilograms that the tracker returns are the kWh."""
_COUNTERS = {
    "intel_rapl": "RAPL",
    "windows_emi": "Windows' Energy Meter Interface",
    "intel_power_gadget": "Intel Power Gadget",
    "AppleSiliconChip": "powermetrics",
}


def energy_mixes() -> Mapping[str, Mapping[str, Any]]:
    """Code of a country -> its grid, as CodeCarbon has it."""
    _silence()
    from codecarbon.input import DataSource

    found: Mapping[str, Mapping[str, Any]] = DataSource().get_global_energy_mix_data()
    return found


def open_tracker(cpu_watts: float | None) -> Any:
    """A tracker of this process and of those that it starts, not yet started; kilograms of its CO2 are kWh.

    Args:
        cpu_watts: of all CPUs at full load; None for counters, else what CodeCarbon knows of them.
    """
    _silence()
    from codecarbon import OfflineEmissionsTracker

    return OfflineEmissionsTracker(
        country_iso_code=None,
        region=None,
        cloud_provider=None,
        cloud_region=None,
        country_2letter_iso_code=None,
        force_carbon_intensity_g_co2e_kwh=_GRAMS_PER_KWH,
        allow_multiple_runs=True,  # else a lock file for the whole machine, and handlers of signals
        tracking_mode="process",
        measure_power_secs=_NEVER_SEC,
        force_cpu_power=cpu_watts,
        force_ram_power=None,
        force_mode_cpu_load=False,
        rapl_include_dram=False,
        rapl_prefer_psys=False,
        gpu_ids=None,
        pue=1.0,
        wue=0.0,
        output_methods=[],
        output_handlers=[],
        output_dir=tempfile.gettempdir(),  # nothing is written there: it has to exist
        output_file="emissions.csv",
        on_csv_write="append",
        api_call_interval=-1,
        api_endpoint="",
        api_key="",
        emissions_endpoint="",
        electricitymaps_api_token="",
        prometheus_url="",
        logging_logger=None,
        logger_preamble="",
        log_level="critical",
        project_name="emotions",
        experiment_id="",
        experiment_name="",
    )


def stop_sampling(tracker: Any) -> None:
    """Let nobody but ``meter`` read a tracker that has started.

    Its own samples of each second come at the time of the meter's readings. Of two readings that are a moment apart
    the second has up to 10 ms of CPU time, the system's tick, over less than that: the power of many CPUs.

    Args:
        tracker: of ``open_tracker``, started.
    """
    tracker._scheduler_monitor_power.stop()


def how_found(tracker: Any) -> dict[str, str]:
    """Part -> whether the tracker measures or estimates it, and by what; it has that in its private list alone.

    Args:
        tracker: of ``open_tracker``, started.
    """
    known = tracker.get_detected_hardware()
    found = {}
    for part in tracker._hardware:
        name = type(part).__name__
        if name == "RAM":
            found["memory"] = f"{ESTIMATED}: by its size"
        elif name == "GPU":
            found["gpu"] = f"{MEASURED}: counters of {known['gpu_model']}, whatever uses it"
        elif name in _COUNTERS:
            found[part.chip_part.lower()] = f"{MEASURED}: {_COUNTERS[name]}, the whole machine"
        elif part._mode in _COUNTERS:
            found["cpu"] = f"{MEASURED}: {_COUNTERS[part._mode]}, the whole machine"
        else:
            found["cpu"] = f"{ESTIMATED}: CPU time by {part._tdp:g} W, {_whose(part, tracker, known)}"
    return found


def _whose(cpu: Any, tracker: Any, known: Mapping[str, Any]) -> str:
    """Where the watts of an estimate are from."""
    if tracker._force_cpu_power is not None:
        return "as given"
    if cpu._is_generic_tdp:
        return f"CodeCarbon's guess, as {known['cpu_model'] or 'the CPU'} is not in its table"
    return f"CodeCarbon's figure for {known['cpu_model']}"


def _silence() -> None:
    """Keep CodeCarbon's log off stderr, from its import on; it sets its own handlers and levels again later."""
    logging.getLogger("codecarbon").disabled = True
