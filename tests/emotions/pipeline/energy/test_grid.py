from __future__ import annotations

from importlib.util import find_spec

import pytest

from emotions.errors import ConfigError, MissingExtra
from emotions.pipeline.energy.config import EnergyConfig
from emotions.pipeline.energy.grid import check_energy, grid_of
from tests.fake_codecarbon import Tracker


def test_a_country_has_its_grams_and_says_of_when(codecarbon: type[Tracker]) -> None:
    grid = grid_of(EnergyConfig(country="deu"))
    assert (grid.grams_per_kwh, grid.source) == (400.0, "400 g/kWh, Germany 2023 by CodeCarbon's table")
    assert grid_of(EnergyConfig(grams_per_kwh=12.5)).source == "12.5 g/kWh, as given"
    check_energy(EnergyConfig(country="DEU"))


@pytest.mark.parametrize(("country", "meant"), [("DEX", "DEU"), ("Germany", "DEU"), ("CAF", "CAF"), ("\x1b[2J", "")])
def test_a_country_that_is_not_known_is_one_line(codecarbon: type[Tracker], country: str, meant: str) -> None:
    with pytest.raises(ConfigError) as told:
        check_energy(EnergyConfig(country=country))
    text = str(told.value)
    assert text.isprintable()
    assert "grams of CO2 per kWh" in text
    assert meant in text


@pytest.mark.skipif(find_spec("codecarbon") is not None, reason="codecarbon is installed")
def test_without_the_package_one_line_says_what_to_install() -> None:
    check_energy(None)
    with pytest.raises(MissingExtra, match=r"^codecarbon is not installed.*emotions-toolkit\[energy\]"):
        check_energy(EnergyConfig(country="DEU"))
