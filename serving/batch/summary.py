"""The summary of a prediction run: totals, labels, errors, and the first rows as a small table."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emotions.bundle.summary import plain

if TYPE_CHECKING:
    from serving.batch.statistics import Totals

WIDTH = 100
"""Width of the table of first rows, in characters."""


def summary(output: Path, totals: Totals, targets: Sequence[str], run_on: Mapping[str, str]) -> str:
    """A few aligned lines, then the first rows; control characters in names are escaped.

    Args:
        output: the table.
        totals: counts of all files.
        targets: names of the targets.
        run_on: the variant and the device of the model.
    """
    audio_sec = totals.audio_sec - totals.resumed_sec
    speed = audio_sec / max(totals.wall_sec, 1e-9)
    files = f"{totals.files} files, {totals.errors} errors, {totals.skipped} of other kinds passed over"
    lines = [
        ("table", f"{output} ({files})"),
        ("audio", f"{audio_sec:.1f} s in {totals.wall_sec:.1f} s, {speed:.1f} times real time"),
        ("model", f"{run_on['variant']} on {run_on['device']}"),
        *((target, _counts(totals.labels.get(target, Counter()))) for target in targets),
    ]
    if totals.resumed_files:
        lines.insert(1, ("resumed", f"{totals.resumed_files} of the files were done by an earlier run"))
    if totals.warnings:
        lines.append(("warnings", _counts(totals.warnings)))
    if totals.errors:
        lines.append(("errors", _counts(totals.codes)))
    width = max(len(name) for name, _ in lines)
    text = "\n".join(f"{plain(name):<{width}}  {plain(value)}" for name, value in lines)
    return f"{text}\n\n{_rows(totals, targets)}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "none"


def _rows(totals: Totals, targets: Sequence[str]) -> str:
    """The first results as a table at most ``WIDTH`` columns wide."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("file", *targets, "confidence", "duration", "error"):
        right = name in {"confidence", "duration"}
        table.add_column(Text(plain(name)), no_wrap=True, overflow="ellipsis", justify="right" if right else "left")
    for cells in totals.head:
        template = [""] * (len(table.columns) - len(cells))
        table.add_row(*(Text(plain(cell)) for cell in (cells[0], *template, *cells[1:])))
    text = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    with text.capture() as captured:
        text.print(table)
    more = totals.files - len(totals.head)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    return "\n".join([*lines, *([f"... and {more} more"] if more else [])])


def document(output: Path, totals: Totals, run_on: Mapping[str, str]) -> str:
    """The summary for machines: one line of JSON, without names of files. Arguments as ``summary``."""
    content = {
        "event": "done",
        "table": str(output),
        "files": totals.files,
        "errors": totals.errors,
        "skipped": totals.skipped,
        "resumed": totals.resumed_files,
        "audio_sec": round(totals.audio_sec, 3),
        "wall_sec": round(totals.wall_sec, 3),
        "variant": run_on["variant"],
        "device": run_on["device"],
        "labels": totals.labels,
        "codes": totals.codes,
        "warnings": totals.warnings,
    }
    return json.dumps(content, ensure_ascii=False)
