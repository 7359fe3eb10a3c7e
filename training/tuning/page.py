"""The report of a search as one page of HTML."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

import emotions
from emotions.files.html.report import Part, Picture, Report, Section, Table, html
from emotions.files.html.svg_plots import Axes, Line, bars, lines
from emotions.pipeline.provenance import command_line, versions
from training.config.tune import SearchSpace
from training.tuning.conclusion import conclusion
from training.tuning.energy import Energies, energy_line
from training.tuning.plots import importance
from training.tuning.records import SearchRecord, TrialRecord, flattened, shown

REPORT_PAGE = "report.html"
_MAX_VALUES = 24
"""Searched values that have a picture; a search of more is one nobody reads picture by picture."""
_CHOSEN = (
    "the best trial was chosen by this figure among all of them, so that a new measurement is likely to be lower: "
    "evaluate the chosen values on speakers that the search has not seen"
)


def search_page(search: SearchRecord, ranked: Sequence[TrialRecord], energies: Energies = MappingProxyType({})) -> str:
    """A search's report as HTML that needs nothing else, whatever state it is in.

    Args:
        search: the search.
        ranked: its trials, the best first.
        energies: of those that were measured.
    """
    by_number = sorted(ranked, key=lambda trial: trial.number)
    scored = [(trial, best[1]) for trial in by_number if trial.state != "failed" and (best := trial.best(search))]
    shares = importance(search, scored)
    failed = [f"trial {trial.number} failed: {trial.reason}" for trial in by_number if trial.state == "failed"]
    return html(
        Report(
            "Search",
            search.model,
            [conclusion(search, ranked, shares)],
            pictures=[Section("", [*_pictures(search, scored, shares)])] if scored else [],
            figures=[Section("", [_table(search, ranked, energies)])] if ranked else [],
            method=[*_method(search), *_energy(energies, ranked), *failed[:20]],
            facts=_facts(search, ranked),
            command=command_line(),
        )
    )


def _pictures(
    search: SearchRecord, scored: Sequence[tuple[TrialRecord, float]], shares: Mapping[str, float]
) -> Iterator[Part]:
    gather = np.maximum if search.mode == "max" else np.minimum
    numbers, values = [float(trial.number) for trial, _ in scored], [value for _, value in scored]
    so_far = _steps(list(zip(numbers, gather.accumulate(values).tolist(), strict=True)))
    drawn = [
        Line("trial", list(zip(numbers, values, strict=True)), dots=True, joined=False),
        Line("best so far", so_far),
    ]
    yield Picture(lines("Best so far", Axes("trial", search.metric, whole=True), drawn), "Each point is a trial.")
    if shares:
        percent = {name: 100 * share for name, share in shares.items()}
        told = "Share of the differences between trials that each value explains (fANOVA)."
        yield Picture(bars("What it depends on", "%", percent), told)
    names = flattened(dict.fromkeys(search.spaces))
    for path, name in [*zip(search.spaces, names, strict=True)][:_MAX_VALUES]:
        yield Picture(_by_value(search, scored, path, name))


def _steps(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of a line that stays level until the next point."""
    corners = [(after[0], before[1]) for before, after in itertools.pairwise(points)]
    return [point for pair in itertools.zip_longest(points, corners) for point in pair if point is not None]


def _by_value(search: SearchRecord, scored: Sequence[tuple[TrialRecord, float]], path: str, name: str) -> str:
    """The metric over one searched value: choices side by side, decades of a value that was drawn by its logarithm."""
    space = SearchSpace.model_validate(search.spaces[path])
    values = [(trial.values[path], value) for trial, value in scored if path in trial.values]
    if space.choice is not None:
        axes = Axes(name, search.metric, names=[str(choice) for choice in space.choice])
        points = [(float(space.choice.index(drawn)), value) for drawn, value in values]
    elif space.loguniform is not None:
        axes = Axes(f"{name}, power of ten", search.metric, start=None)
        points = [(float(np.log10(drawn)), value) for drawn, value in values]
    else:
        axes, points = Axes(name, search.metric, start=None), [(float(drawn), value) for drawn, value in values]
    return lines(f"{search.metric} by {name}", axes, [Line("trial", points, dots=True, joined=False)])


def _energy(energies: Energies, ranked: Sequence[TrialRecord]) -> Iterator[str]:
    told = energy_line(energies, ranked)
    if told is not None:
        yield f"energy of the trials: {told}"


def _table(search: SearchRecord, ranked: Sequence[TrialRecord], energies: Energies) -> Table:
    names = list(flattened(ranked[0].values))
    head = ["trial", "state", search.metric, "epoch", "seconds", "parameters", *names]
    rows = [_row(search, trial) for trial in ranked]
    if energies:
        head.append("joules")
        for row, trial in zip(rows, ranked, strict=True):
            row.append(f"{energies[trial.number].joules:,.0f}" if trial.number in energies else "–")
    return Table("Trials, the best first", head, rows)


def _row(search: SearchRecord, trial: TrialRecord) -> list[str]:
    best = trial.best(search)
    value, epoch = ("–", "–") if best is None else (f"{best[1]:.3f}", str(best[0] + 1))
    values = map(shown, flattened(trial.values).values())
    return [str(trial.number), trial.state, value, epoch, f"{trial.seconds:.1f}", f"{trial.parameters:,}", *values]


def _method(search: SearchRecord) -> Iterator[str]:
    better = "more" if search.mode == "max" else "less"
    yield f"protocol: {search.protocol}; compared is {search.metric} of the validation part, {better} is better"
    yield f"{search.num_samples} trials of at most {search.max_epochs} epochs; {search.sampler}, seed {search.seed}"
    yield _CHOSEN


def _facts(search: SearchRecord, ranked: Sequence[TrialRecord]) -> dict[str, Any]:
    path = search.step.get("dataset", {}).get("path")
    parts = [path] if isinstance(path, str) else path or []
    return {
        **({"data": str(parts[-1]).rstrip("/").rpartition("/")[2]} if parts else {}),
        "state": search.state,
        "training took": f"{sum(trial.seconds for trial in ranked):,.0f} s",
        "version of the toolkit": emotions.__version__,
        **versions(),
    }
