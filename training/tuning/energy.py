"""Energy of a search: that of each trial, as its run folder has it, and the sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emotions.pipeline.energy.energy import Energy, in_full, total
from training.run_folder.energy import energy_of_run
from training.tuning.records import Results, TrialRecord

Energies = Mapping[int, Energy]
"""Number of a trial -> its energy; without those that were not measured."""


def energies_of(results: Results, trials: Sequence[TrialRecord]) -> Energies:
    """The energy of each trial that was measured.

    Args:
        results: the results folder.
        trials: those that have begun.
    """
    found = {trial.number: energy_of_run(results.trial_folder(trial.number)) for trial in trials}
    return {number: energy for number, energy in found.items() if energy is not None}


def energy_line(energies: Energies, trials: Sequence[TrialRecord]) -> str | None:
    """The sum over the trials in words; None where none was measured.

    Args:
        energies: of ``energies_of``.
        trials: those that have begun, measured or not.
    """
    summed = total([energies.get(trial.number) for trial in trials])
    if summed is None:
        return None
    twice = "; counters are of the whole machine: of trials side by side they count the same joules each"
    return f"{in_full(summed)}{twice if summed.of_the_machine and len(energies) > 1 else ''}"
