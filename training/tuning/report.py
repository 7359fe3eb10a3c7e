"""What came of a search, finished, running or interrupted: a table, JSON or CSV, and pictures beside the results."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from training.tuning.plots import draw_pictures
from training.tuning.records import Results, SearchRecord, TrialRecord, flattened

Format = Literal["table", "json", "csv"]

_WIDTH = 160  # of a table that goes to a file


def print_results(folder: Path, form: Format = "table") -> None:
    """Print the trials of a search to stdout, best first, and draw its pictures into its folder.

    Args:
        folder: the results folder.
        form: ``table`` for people; ``json`` or ``csv`` for machines.

    Raises:
        CheckpointError: it is not a results folder, or is damaged.
    """
    results = Results(folder)
    search = results.read_search()
    trials = results.ranked(search)
    pictures = draw_pictures(folder, search, trials)
    if form == "json":
        print(json.dumps(_document(results, search, trials), ensure_ascii=False, indent=2))
    elif form == "csv":
        print(_csv(results, search, trials), end="")
    else:
        _print_table(results, search, trials, pictures)


def _row(results: Results, search: SearchRecord, trial: TrialRecord) -> dict[str, Any]:
    best = trial.best(search)
    kept = None if trial.checkpoint is None else str(results.trial_folder(trial.number) / trial.checkpoint)
    return {
        "trial": trial.number,
        "state": trial.state,
        search.metric: None if best is None else best[1],
        "epoch": None if best is None else best[0],
        "epochs": trial.epochs,
        "seconds": round(trial.seconds, 2),
        "parameters": trial.parameters,
        **flattened(trial.values),
        "checkpoint": kept,
        "reason": trial.reason,
    }


def _document(results: Results, search: SearchRecord, trials: Sequence[TrialRecord]) -> dict[str, Any]:
    rows = [_row(results, search, trial) for trial in trials]
    return {"folder": str(results.folder), "search": search.model_dump(mode="json"), "trials": rows}


def _csv(results: Results, search: SearchRecord, trials: Sequence[TrialRecord]) -> str:
    rows = [_row(results, search, trial) for trial in trials]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["trial"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _print_table(
    results: Results, search: SearchRecord, trials: Sequence[TrialRecord], pictures: Sequence[Path]
) -> None:
    ended = sum(trial.ended for trial in trials)
    title = f"{search.model}: {ended} of {search.num_samples} trials ended, {search.state}"
    table = Table(title=title, title_justify="left")
    names = list(flattened(trials[0].values)) if trials else []
    for heading in ("trial", "state", search.metric, "epoch", "time", "parameters", *names):
        table.add_column(heading, justify="right", overflow="fold")
    for trial in trials:
        table.add_row(*_cells(search, trial))
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(table)
    lines = [f"protocol of {search.metric}: {search.protocol}, validation part", f"results: {results.folder}"]
    lines += [f"trial {trial.number} failed: {trial.reason}" for trial in trials if trial.state == "failed"]
    for trial in trials:
        if trial.checkpoint is not None and trial.state in ("done", "stopped"):
            lines.append(f"checkpoint of trial {trial.number}: {results.trial_folder(trial.number) / trial.checkpoint}")
    lines += [f"picture: {path}" for path in pictures]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _cells(search: SearchRecord, trial: TrialRecord) -> list[str]:
    best = trial.best(search)
    value, epoch = ("", "") if best is None else (f"{best[1]:.3f}", str(best[0]))
    numbers = [f"{each:.3g}" if isinstance(each, float) else str(each) for each in flattened(trial.values).values()]
    return [str(trial.number), trial.state, value, epoch, f"{trial.seconds:.1f} s", f"{trial.parameters:,}", *numbers]
