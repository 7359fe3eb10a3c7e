"""Names of what ``emotions benchmark`` measures. The command line lists them, so nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Scenario = Literal[
    "session",
    "folder",
    "service",
    "waterfall",
    "single_stream",
    "multi_stream",
    "offline",
    "server",
    "burst",
    "bad_input",
    "soak",
    "search",
    "overload",
    "cold_start",
    "loadgen",
    "stream",
    "backends",
    "peers",
    "peer",
    "pressure",
]
"""What the benchmark measures: layers from the bare model outwards, then the service under several kinds of load."""
SCENARIOS: tuple[Scenario, ...] = (
    *("session", "folder", "service", "waterfall", "single_stream", "multi_stream", "offline", "server"),
    *("burst", "bad_input", "soak", "search", "loadgen", "overload", "cold_start"),
    *("backends", "peers"),
)
"""What it measures by default."""
OF_SERVICE: frozenset[Scenario] = frozenset({*SCENARIOS[4:-2], "stream"})
"""Loads of a running service, rather than layers."""
_FORMER: dict[Scenario, tuple[Scenario, ...]] = {"pressure": ("overload", "soak"), "peer": ("peers",)}


def resolved(named: Sequence[Scenario]) -> tuple[Scenario, ...]:
    """Scenarios without duplicates, former names replaced by their scenarios."""
    return tuple(dict.fromkeys(each for name in named for each in _FORMER.get(name, (name,))))
