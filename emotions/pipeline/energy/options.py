"""The options of commands that measure energy."""

from __future__ import annotations

from typing import Annotated

import typer

EnergyOption = Annotated[
    str | None,
    typer.Option(
        "--energy",
        metavar="COUNTRY|GRAMS",
        help="Joules and CO2, by CodeCarbon: for the grid of a country (DEU), or grams of CO2 per kWh.",
    ),
]
CpuWatts = Annotated[
    float | None,
    typer.Option("--cpu-watts", metavar="W", help="Of all CPUs at full load, to estimate energy by; default: found."),
]
