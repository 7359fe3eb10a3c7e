"""Grams of CO2 of a kWh: the user's figure, or that of a country in the table that comes with CodeCarbon."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from emotions.errors import ConfigError, MissingExtra
from emotions.pipeline.energy.config import EnergyConfig
from emotions.pipeline.energy.library import energy_mixes

PACKAGE, EXTRA = "codecarbon", "energy"


@dataclass(frozen=True)
class Grid:
    """Grams of CO2 equivalent of a kWh, and in words where the figure is from."""

    grams_per_kwh: float
    source: str


def check_energy(config: EnergyConfig | None) -> None:
    """Refuse what cannot be measured here, before anything is computed.

    Args:
        config: what is asked for; None for nothing.

    Raises:
        MissingExtra: CodeCarbon is not installed.
        ConfigError: it has no figure for the country.
    """
    if config is None:
        return
    if find_spec(PACKAGE) is None:
        raise MissingExtra(EXTRA, PACKAGE)
    grid_of(config)


def grid_of(config: EnergyConfig) -> Grid:
    """The grid that a user named. Raises ConfigError where its country is not known."""
    if config.grams_per_kwh is not None:
        return Grid(config.grams_per_kwh, f"{config.grams_per_kwh:g} g/kWh, as given")
    asked = config.country or ""
    mixes = energy_mixes()
    found: Mapping[str, Any] = mixes.get(asked.upper(), {})
    grams = found.get("carbon_intensity")
    if not grams:
        raise ConfigError(f"energy: {asked}: {_near(asked, mixes)}or give grams of CO2 per kWh")
    told = f"{grams:g} g/kWh, {found.get('country_name', asked)} {found.get('year', '')}".rstrip()
    return Grid(float(grams), f"{told} by CodeCarbon's table")


def _near(asked: str, mixes: Mapping[str, Any]) -> str:
    """The country that is likely meant, by its name or its letters."""
    names = {code: code for code in mixes} | {
        str(each.get("country_name", "")).upper(): code for code, each in mixes.items()
    }
    near = difflib.get_close_matches(asked.upper(), names, 1)
    meant = f"did you mean {names[near[0]]}? " if near else ""
    return f"CodeCarbon has no figure for a country of this code; {meant}write three letters of ISO 3166-1, as DEU, "
