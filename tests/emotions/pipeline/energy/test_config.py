from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from emotions.errors import ConfigError
from emotions.pipeline.energy.config import Energies, EnergyConfig, energy_of

_READ: TypeAdapter[EnergyConfig | None] = TypeAdapter(Energies)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, None),
        ("DEU", EnergyConfig(country="DEU")),
        (380, EnergyConfig(grams_per_kwh=380)),
        ({"country": "DEU", "cpu_watts": 65}, EnergyConfig(country="DEU", cpu_watts=65)),
    ],
)
def test_a_country_a_number_and_a_block_are_read(written: Any, expected: EnergyConfig | None) -> None:
    assert _READ.validate_python(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        True,
        "",
        -1,
        5001,
        {},
        [],
        {"country": "DEU", "grams_per_kwh": 1},
        {"country": "DEU", "cpu_watts": 0},
        {"country": "DEU", "watts": 1},
    ],
)
def test_what_names_no_grid_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        _READ.validate_python(written)


def test_the_option_takes_a_country_or_grams() -> None:
    assert energy_of(None) is None
    assert energy_of("DEU") == EnergyConfig(country="DEU")
    assert energy_of("380.5", 65) == EnergyConfig(grams_per_kwh=380.5, cpu_watts=65)


@pytest.mark.parametrize(("option", "watts"), [("-1", None), ("nan", None), ("", None), ("DEU", 0.0), (None, 65.0)])
def test_a_bad_option_is_one_line(option: str | None, watts: float | None) -> None:
    with pytest.raises(ConfigError) as told:
        energy_of(option, watts)
    assert "\n" not in str(told.value)
    assert "DEU" in str(told.value)
