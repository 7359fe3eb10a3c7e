"""Report a search, finished, running or interrupted: a table, JSON or CSV on stdout; plots and a page."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from emotions.files.atomic import write_bytes
from emotions.files.from_here import from_here
from training.tuning.energy import Energies, energies_of, energy_line
from training.tuning.page import REPORT_PAGE, search_page
from training.tuning.plots import draw_pictures
from training.tuning.records import Results, SearchRecord, TrialRecord, flattened, shown

Format = Literal["table", "json", "csv"]

_WIDTH = 160  # of a table that goes to a file


def print_results(folder: Path, form: Format = "table") -> None:
    """Print the trials of a search to stdout, best first, and draw its plots and its page into its folder.

    Args:
        folder: the results folder.
        form: ``table`` for people; ``json`` or ``csv`` for machines.

    Raises:
        CheckpointError: it is not a results folder, or is damaged.
    """
    results = Results(folder)
    search = results.read_search()
    trials = results.ranked(search)
    plots, energies = draw_pictures(folder, search, trials), energies_of(results, trials)
    write_bytes(folder / REPORT_PAGE, search_page(search, trials, energies).encode())
    rows = [{**_row(results, search, trial), **_energy(energies, trial)} for trial in trials]
    if form == "json":
        document = {"folder": str(results.folder), "search": search.model_dump(mode="json"), "trials": rows}
        print(json.dumps(document, ensure_ascii=False, indent=2))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else ["trial"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        _print_table(results, search, trials, plots, energies)


def _row(results: Results, search: SearchRecord, trial: TrialRecord) -> dict[str, Any]:
    epoch, value = trial.best(search) or (None, None)
    return {
        "trial": trial.number,
        "state": trial.state,
        search.metric: value,
        "epoch": None if epoch is None else epoch + 1,
        "epochs": trial.epochs,
        "seconds": round(trial.seconds, 2),
        "parameters": trial.parameters,
        **flattened(trial.values),
        "checkpoint": _checkpoint(results, trial),
        "reason": trial.reason,
    }


def _energy(energies: Energies, trial: TrialRecord) -> dict[str, float | None]:
    """The energy of a trial, where any trial's was measured."""
    if not energies:
        return {}
    if (found := energies.get(trial.number)) is None:
        return {"joules": None, "grams_co2e": None}
    return {"joules": round(found.joules, 1), "grams_co2e": float(f"{found.grams_co2e:.4g}")}


def _checkpoint(results: Results, trial: TrialRecord) -> str | None:
    return None if trial.checkpoint is None else str(results.trial_folder(trial.number) / trial.checkpoint)


def _print_table(
    results: Results,
    search: SearchRecord,
    trials: Sequence[TrialRecord],
    plots: Sequence[Path],
    energies: Energies,
) -> None:
    ended = sum(trial.ended for trial in trials)
    title = f"{search.model}: {ended} of {search.num_samples} trials ended, {search.state}"
    table = Table(title=title, title_justify="left")
    names = list(flattened(trials[0].values)) if trials else []
    for heading in ("trial", "state", search.metric, "epoch", "time", "parameters", *names):
        table.add_column(heading, justify="right", overflow="fold")
    for trial in trials:
        best = trial.best(search)
        value, epoch = ("", "") if best is None else (f"{best[1]:.3f}", str(best[0] + 1))
        cells = [str(trial.number), trial.state, value, epoch, f"{trial.seconds:.1f} s", f"{trial.parameters:,}"]
        table.add_row(*cells, *map(shown, flattened(trial.values).values()))
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(table)
    lines = [
        f"protocol of {search.metric}: {search.protocol}, validation part",
        f"results: {from_here(results.folder)}",
    ]
    if (told := energy_line(energies, trials)) is not None:
        lines.append(f"energy: {told}")
    lines += [f"trial {trial.number} failed: {trial.reason}" for trial in trials if trial.state == "failed"]
    lines += [
        f"checkpoint of trial {trial.number}: {from_here(Path(found))}"
        for trial in trials
        if trial.state in ("done", "stopped") and (found := _checkpoint(results, trial))
    ]
    lines += [f"picture: {from_here(path)}" for path in plots]
    lines += [f"report: {from_here(results.folder / REPORT_PAGE)}"]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
