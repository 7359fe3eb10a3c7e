"""How a user asks for energy: by a country's grid, or by grams of CO2 per kWh."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from emotions.errors import ConfigError
from emotions.pipeline.schema import Block, Text


class EnergyConfig(Block):
    """Measure joules and grams of CO2 with CodeCarbon, without a network."""

    country: Text | None = Field(
        default=None, description="Country whose grid the machine is on: three letters of ISO 3166-1, as DEU."
    )
    grams_per_kwh: float | None = Field(
        default=None, ge=0, le=5_000, description="Or grams of CO2 equivalent of a kWh there."
    )
    cpu_watts: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description="Watts of all CPUs at full load, to estimate by; by default counters, else CodeCarbon's table.",
    )

    @model_validator(mode="after")
    def _names_one_grid(self) -> EnergyConfig:
        if (self.country is None) == (self.grams_per_kwh is None):
            raise ValueError("needs country, as DEU, or grams_per_kwh: one of both")
        return self


def as_energy(value: Any) -> Any:
    """A country or a number alone as the block that names it; anything else as it is."""
    if isinstance(value, str):
        return {"country": value}
    return {"grams_per_kwh": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


Energies = Annotated[
    EnergyConfig | None,
    BeforeValidator(as_energy, json_schema_input_type=EnergyConfig | Text | float | None),
]
"""A key of a pipeline file: a country, grams of CO2 per kWh, or the block."""


def energy_of(option: str | None, cpu_watts: float | None = None) -> EnergyConfig | None:
    """What the option ``--energy`` asks for.

    Args:
        option: a country, or grams of CO2 per kWh; None for no energy.
        cpu_watts: of all CPUs at full load; None for what is found.

    Raises:
        ConfigError: it is neither, or there are watts without it.
    """
    if option is None:
        if cpu_watts is not None:
            raise ConfigError("--cpu-watts: is for --energy; name a country there, as DEU, or grams of CO2 per kWh")
        return None
    try:
        asked: dict[str, Any] = {"grams_per_kwh": float(option)}
    except ValueError:
        asked = {"country": option}
    try:
        return EnergyConfig.model_validate({**asked, "cpu_watts": cpu_watts})
    except ValidationError as error:
        raise ConfigError(
            f"--energy {option}: write a country in three letters, as DEU, or grams of CO2 per kWh, from 0 to 5000"
        ) from error
