"""Totals of a prediction run, counted as results come and recorded in the checkpoint by chunk, and the summary."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emotions.errors import plain
from emotions.files.from_here import from_here
from emotions.folder.result import FileResult
from emotions.pipeline.energy.energy import Energy, details, in_short
from emotions.runtime.prediction import Prediction

WIDTH = 100
"""Width of the table of first rows, in characters."""


_HEAD = 8
"""Results that the summary shows."""
CONFIDENCE_BINS = 20
"""Bins of the confidence, from 0 to 1."""
DURATION_BINS = 4
"""Bins of the duration in each doubling of it."""

_STATE = ("files", "audio_sec", "codes", "warnings", "labels", "confidences", "durations", "head", "values")


@dataclass
class Totals:
    """Counts of all files.

    Attributes:
        skipped: files ignored because of their extension.
        codes: how often each error occurred.
        warnings: how often each warning occurred, such as ``truncated``.
        wall_sec: seconds that this took, without loading the model.
        labels: target -> how often each label was the most probable one.
        values: ``target.dimension`` -> sum of its values.
        confidences: files in each of ``CONFIDENCE_BINS``.
        durations: files by duration, in bins that start at 2 ** (bin / DURATION_BINS) seconds.
        head: cells of the first results: name, label of each target, value of each dimension, confidence, duration,
            error.
        energy: that ``wall_sec`` took; None where it was not measured.
        resumed_files: those of ``files`` that an earlier run did, with ``resumed_sec`` of the audio.
    """

    skipped: int = 0
    files: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    audio_sec: float = 0.0
    wall_sec: float = 0.0
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    confidences: Counter[int] = field(default_factory=Counter)
    durations: Counter[int] = field(default_factory=Counter)
    head: list[list[str]] = field(default_factory=list)
    resumed_files: int = 0
    resumed_sec: float = 0.0
    energy: Energy | None = None

    @property
    def errors(self) -> int:
        """Files that failed."""
        return self.codes.total()

    def add(self, result: FileResult) -> None:
        """Count one result."""
        self.files += 1
        if len(self.head) < _HEAD:
            self.head.append(_cells(result))
        prediction = result.prediction
        if prediction is None:
            self.codes[result.code or "error"] += 1
            return
        self.audio_sec += prediction.duration_sec
        self.warnings.update(warning.partition(":")[0] for warning in prediction.warnings)
        if prediction.probabilities:
            self.confidences[min(CONFIDENCE_BINS - 1, int(prediction.confidence * CONFIDENCE_BINS))] += 1
        self._add_values(_values(prediction))
        self.durations[math.floor(math.log2(max(prediction.duration_sec, 1e-3)) * DURATION_BINS)] += 1
        for target, label in prediction.labels.items():
            self.labels.setdefault(target, Counter())[label] += 1

    def _add_values(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.values[name] = self.values.get(name, 0.0) + value

    def state(self) -> dict[str, Any]:
        """The counts of a chunk as JSON, for ``merge``."""
        return {name: getattr(self, name) for name in _STATE}

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the counts of a chunk, as ``state`` gives them."""
        self.files += state["files"]
        self.audio_sec += state["audio_sec"]
        self.codes.update(state["codes"])
        self.warnings.update(state.get("warnings", {}))  # not in a journal of 0.1
        self._add_values(state.get("values", {}))  # not in a journal of 0.2
        for target, counts in state["labels"].items():
            self.labels.setdefault(target, Counter()).update(counts)
        for mine, theirs in ((self.confidences, state["confidences"]), (self.durations, state["durations"])):
            mine.update({int(number): count for number, count in theirs.items()})
        self.head += state["head"][: _HEAD - len(self.head)]


def _cells(result: FileResult) -> list[str]:
    prediction = result.prediction
    if prediction is None:
        return [result.name, result.code or ""]
    return [
        result.name,
        *prediction.labels.values(),
        *(f"{value:.3f}" for value in _values(prediction).values()),
        f"{prediction.confidence:.3f}" if prediction.probabilities else "",
        f"{prediction.duration_sec:.2f}",
        "",
    ]


def _values(prediction: Prediction) -> dict[str, float]:
    return {f"{target}.{name}": value for target, named in prediction.values.items() for name, value in named.items()}


def summary(output: Path, totals: Totals, targets: Sequence[str], run_on: Mapping[str, str]) -> str:
    """A few aligned lines, then the first rows; control characters in names are escaped.

    Args:
        output: the table.
        totals: counts of all files.
        targets: names of the targets that have labels.
        run_on: the bundle, and the variant and device of its model.
    """
    audio_sec = totals.audio_sec - totals.resumed_sec
    speed = audio_sec / max(totals.wall_sec, 1e-9)
    files = f"{totals.files} files, {totals.errors} errors, {totals.skipped} of other kinds passed over"
    lines = [
        ("table", f"{from_here(output)} ({files})"),
        ("audio", f"{audio_sec:.1f} s in {totals.wall_sec:.1f} s, {speed:.1f} times real time"),
        ("model", f"{run_on['bundle']}, {run_on['variant']} on {run_on['device']}"),
        *((target, _counts(totals.labels.get(target, Counter()))) for target in targets),
        *((name, f"mean {total / max(totals.files - totals.errors, 1):.3f}") for name, total in totals.values.items()),
    ]
    if totals.resumed_files:
        lines.insert(1, ("resumed", f"{totals.resumed_files} of the files were done by an earlier run"))
    if totals.warnings:
        lines.append(("warnings", _counts(totals.warnings)))
    if totals.errors:
        lines.append(("errors", _counts(totals.codes)))
    if totals.energy is not None:
        lines.append(("energy", f"{in_short(totals.energy)}{_without_former(totals)}"))
        lines += [("", detail) for detail in details(totals.energy)]
    width = max(len(name) for name, _ in lines)
    text = "\n".join(f"{plain(name):<{width}}  {plain(value)}" for name, value in lines)
    return f"{text}\n\n{_rows(totals, targets)}"


def _without_former(totals: Totals) -> str:
    """That an earlier run's energy is not in the figure."""
    return "; without the files of the earlier run" if totals.resumed_files else ""


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "none"


def _rows(totals: Totals, targets: Sequence[str]) -> str:
    """The first results as a table at most ``WIDTH`` columns wide."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("file", *targets, *totals.values, "confidence", "duration", "error"):
        right = name in {"confidence", "duration", *totals.values}
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
        "bundle": run_on["bundle"],
        "variant": run_on["variant"],
        "device": run_on["device"],
        "labels": totals.labels,
        **({"value_sums": totals.values} if totals.values else {}),
        "codes": totals.codes,
        "warnings": totals.warnings,
        **({} if totals.energy is None else {"energy": totals.energy.model_dump(mode="json")}),
    }
    return json.dumps(content, ensure_ascii=False)
