"""Energy that was measured or estimated: what it comes to, how it was found, and both in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

MEASURED, ESTIMATED = "measured", "estimated"
"""First words of how a part was found: by counters of the hardware, or by a model of what it takes."""
_JOULES_PER_WH = 3_600.0


class Energy(BaseModel):
    """Energy of some work on this machine.

    Attributes:
        joules: all of it, with ``joules_of`` the CPUs, the GPUs and the memory.
        grams_co2e: of the electricity alone, without what making the machine took.
        seconds: that the measuring lasted.
        how: part -> ``measured: ...`` or ``estimated: ...``.
        grid: grams per kWh, and where the figure is from.
        measured, of: how many parts of the work are in the sum, and how many there were.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    joules: float = Field(ge=0)
    grams_co2e: float = Field(ge=0)
    seconds: float = Field(ge=0)
    joules_of: dict[str, float] = Field(max_length=10)
    how: dict[str, str] = Field(max_length=10)
    grid: str = Field(max_length=2_000)
    measured: int = Field(default=1, ge=1)
    of: int = Field(default=1, ge=1)

    @property
    def verdict(self) -> str:
        """Whether it was measured, estimated, or both."""
        kinds = {text.startswith(MEASURED) for text in self.how.values()}
        return "in part measured, in part estimated" if len(kinds) > 1 else MEASURED if kinds == {True} else ESTIMATED

    @property
    def of_the_machine(self) -> bool:
        """Whether counters are in it, which count whatever else the machine does."""
        return any(text.startswith(MEASURED) for text in self.how.values())


def total(parts: Sequence[Energy | None]) -> Energy | None:
    """The sum of what was measured; None where nothing was.

    Args:
        parts: of the work; None for one that was not measured.
    """
    known = [part for part in parts if part is not None]
    if not known:
        return None
    return Energy(
        joules=sum(part.joules for part in known),
        grams_co2e=sum(part.grams_co2e for part in known),
        seconds=sum(part.seconds for part in known),
        joules_of={name: sum(part.joules_of.get(name, 0.0) for part in known) for name in _names(known, "joules_of")},
        how={
            name: "; ".join(dict.fromkeys(part.how[name] for part in known if name in part.how))
            for name in _names(known, "how")
        },
        grid="; ".join(dict.fromkeys(part.grid for part in known)),
        measured=sum(part.measured for part in known),
        of=sum(1 if part is None else part.of for part in parts),
    )


def _names(parts: Sequence[Energy], field: str) -> list[str]:
    mappings: list[Mapping[str, object]] = [getattr(part, field) for part in parts]
    return [*dict.fromkeys(name for each in mappings for name in each)]


def in_short(energy: Energy) -> str:
    """Joules and grams, whether they were measured or estimated, and what they leave out."""
    left_out = f"; covers {energy.measured} of {energy.of} parts" if energy.measured < energy.of else ""
    return f"{joules_text(energy.joules)}, {energy.grams_co2e:.3g} g CO2e, {energy.verdict}{left_out}"


def in_full(energy: Energy) -> str:
    """The same with how each part was found, and the grid."""
    return f"{in_short(energy)}: {'; '.join(details(energy))}"


def details(energy: Energy) -> list[str]:
    """How each part was found, and the grid."""
    parts = (f"{name} {joules_text(joules)} ({energy.how.get(name, '')})" for name, joules in energy.joules_of.items())
    return [*parts, f"grid {energy.grid}"]


def joules_text(joules: float) -> str:
    """Joules in words, with watt hours where they are many."""
    if joules < 1_000:
        return f"{joules:.3g} J"
    return f"{joules:,.0f} J ({joules / _JOULES_PER_WH:,.3g} Wh)"
