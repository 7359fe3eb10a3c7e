"""A report as one HTML page: the conclusion, then pictures, figures, method, data, and the terms that it uses."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from emotions.files.html.one_script import PLAYER, STRIP, one_script
from emotions.files.html.page import render

MAX_ROWS = 200
"""Rows of a table on a page; the JSON beside it has all."""
MAX_MATRIX = 20
"""Classes of a confusion matrix on a page."""
_MAX_TOLD = 20
"""Windows of a recording that are told in words."""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows.
        head: titles of the columns, with terms of the glossary.
        rows: cells; of more than ``MAX_ROWS`` the first are shown.
        notes: lines below it.
    """

    kind: ClassVar = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    notes: Sequence[str] = ()

    @property
    def shown(self) -> Sequence[Sequence[Any]]:
        """The rows that stand on the page."""
        return self.rows[:MAX_ROWS]

    @property
    def remarks(self) -> Sequence[str]:
        """The notes, and what was left out."""
        left = len(self.rows) - MAX_ROWS
        return [*self.notes, f"{left} more rows are in the JSON file beside this page"] if left > 0 else self.notes

    def is_number(self, column: int) -> bool:
        """Whether a column holds figures, and stands on the right."""
        cells = [row[column] for row in self.shown if row[column] not in ("", "–", None)]
        return bool(cells) and all(str(cell)[:1] in set("0123456789+-±") for cell in cells)


@dataclass(frozen=True)
class Picture:
    """A plot as SVG text of ``emotions.files.html.svg_plots``, and a line on how to read it."""

    kind: ClassVar = "picture"
    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: rows are the truth; counts may be means over seeds."""

    kind: ClassVar = "matrix"
    caption: str
    labels: Sequence[str]
    counts: Sequence[Sequence[float]]

    @property
    def at(self) -> list[int]:
        """Places of the classes that are shown: of many those with the most errors."""
        errors = [sum(row) + sum(each[at] for each in self.counts) - 2 * row[at] for at, row in enumerate(self.counts)]
        most = sorted(range(len(errors)), key=lambda at: -errors[at])[:MAX_MATRIX]
        return sorted(most)

    def share(self, row: int, column: int) -> float:
        """Share of the recordings of a class that were given another, or 0 where the class has none."""
        total = sum(self.counts[row])
        return self.counts[row][column] / total if total else 0.0


Steps = Sequence[Sequence[float]]
"""Seconds of start and end, and the probability of each label, of each window of a recording."""


@dataclass(frozen=True)
class Recording:
    """A recording: cells as those of a table, where its sound lies, or an empty text, and what is drawn below it."""

    cells: Sequence[Any]
    sound: str = ""
    steps: Steps = ()


@dataclass(frozen=True)
class Recordings:
    """Single recordings.

    Attributes:
        labels: of the steps of the recordings.
    """

    kind: ClassVar = "recordings"
    caption: str
    head: Sequence[str]
    rows: Sequence[Recording]
    notes: Sequence[str] = ()
    labels: Sequence[str] = ()

    @property
    def drawn(self) -> bool:
        """Whether any is drawn over time: those that are played are."""
        return any(row.sound and row.steps for row in self.rows)

    def told(self, steps: Steps) -> str:
        """A recording over time in words, for who cannot see it."""
        likeliest = [max(zip(shares, self.labels, strict=True)) for _, _, *shares in steps[:_MAX_TOLD]]
        words = [
            f"{start:g} to {end:g} s {label} {share:.0%}"
            for (start, end, *_), (share, label) in zip(steps, likeliest, strict=False)
        ]
        left = len(steps) - len(words)
        return ", ".join([*words, *([f"and {left} more"] if left else [])])


Part = Table | Picture | Matrix | Recordings | str


@dataclass(frozen=True)
class Section:
    """A part of a report with a title of its own; texts among its parts are paragraphs."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Report:
    """What a page shows, from top to bottom.

    Attributes:
        kind: such as ``Evaluation``.
        name: of what was measured.
        conclusion: one sentence for whoever decides, for each target.
        warnings: what makes the conclusion doubtful.
        pictures, figures, method: the sections.
        facts: name -> value: data, date, versions.
        command: the command that made it.
    """

    kind: str
    name: str
    conclusion: Sequence[str]
    pictures: Sequence[Section]
    figures: Sequence[Section]
    method: Sequence[Part]
    facts: Mapping[str, Any]
    command: str = ""
    warnings: Sequence[str] = field(default=())

    @cached_property
    def script(self) -> str:
        """What draws recordings over time; empty on a page that has none."""
        parts = (part for section in self.figures for part in section.parts)
        drawn = any(isinstance(part, Recordings) and part.drawn for part in parts)
        return f"\n{one_script([STRIP, PLAYER / 'player.js'], PLAYER)}\n" if drawn else ""

    @property
    def script_hash(self) -> str:
        """Of the script, as a policy names the only one that may run."""
        return base64.b64encode(hashlib.sha256(self.script.encode()).digest()).decode()


def html(report: Report) -> str:
    """A report as a document that needs nothing else."""
    return render("report.html", report=report)
