"""Tables of answers, a recording at a time: the mean of its windows, and how far they disagree."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotions.audio.windows import Float64Array
from emotions.bundle.manifest import UNKNOWN
from emotions.errors import DataError
from emotions.inputs.tables import Row, TableRow, iter_table

MAX_ROWS = 5_000_000
Targets = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Answer:
    """What a table says of one recording.

    Attributes:
        scores: target -> label -> probability, the mean over its rows.
        rows: target -> (rows, labels) probabilities of its windows, or of the participants in it.
    """

    file: str
    scores: dict[str, dict[str, float]]
    rows: dict[str, Float64Array]

    @property
    def confidence(self) -> float:
        """The probability of the label of the target that is least sure."""
        return min(max(scores.values()) for scores in self.scores.values())

    @property
    def disagreement(self) -> float:
        """How far its windows disagree: their Jensen-Shannon divergence in bits, of the target where it is largest."""
        return max(divergence(rows) for rows in self.rows.values())


def divergence(rows: Float64Array) -> float:
    """The Jensen-Shannon divergence of distributions (rows, labels), in bits: entropy of the mean less mean entropy."""
    return max(0.0, float(_entropy(rows.mean(axis=0)) - _entropy(rows).mean()))


def _entropy(shares: Float64Array) -> Float64Array:
    found: Float64Array = -(shares * np.log2(np.maximum(shares, 1e-12))).sum(axis=-1)
    return found


def read_answers(table: Path) -> tuple[list[Answer], Targets]:
    """The answers in a table of ``emotions predict`` for each recording, and the labels of each target.

    Args:
        table: CSV, JSON Lines or Parquet; rows of one recording are taken together, those of errors are left out.

    Raises:
        DataError: it is no such table.
    """
    by_file = defaultdict[str, list[TableRow]](list)
    for number, row in enumerate(iter_table(table)):
        if number == MAX_ROWS:
            raise DataError(f"{table}: has more than {MAX_ROWS:,} rows; split it")
        if "error" not in row.columns:
            by_file[row.columns.get("file", "")].append(row)
    if "" in by_file or not by_file:
        raise DataError(f"{table}: has no rows, or rows without a file")
    targets = _targets(next(iter(by_file.values()))[0].columns)
    if not targets:
        raise DataError(
            f"{table}: has no probabilities, such as emotion.anger beside emotion: it is no table of answers"
        )
    return [_answer(table, file, rows, targets) for file, rows in by_file.items()], targets


def _targets(cells: Row) -> dict[str, list[str]]:
    """The targets with labels: those with a column of their own, and with columns of probabilities."""
    found = defaultdict[str, list[str]](list)
    for name in cells:
        target, dot, label = name.partition(".")
        if dot and target in cells and label != UNKNOWN:
            found[target].append(label)
    return dict(found)


def _answer(table: Path, file: str, rows: Sequence[TableRow], targets: Targets) -> Answer:
    found, means = dict[str, Float64Array](), dict[str, dict[str, float]]()
    for target, labels in targets.items():
        found[target] = np.array([[*_scores(table, row, target, labels)] for row in rows])
        means[target] = dict(zip(labels, found[target].mean(axis=0).tolist(), strict=True))
    return Answer(file, means, found)


def _scores(table: Path, row: TableRow, target: str, labels: Sequence[str]) -> Iterator[float]:
    for label in labels:
        try:
            score = float(row.columns[f"{target}.{label}"])
        except (KeyError, ValueError):
            score = math.nan
        if not 0 <= score <= 1:
            raise DataError(f"{table}: row {row.number}: {target}.{label} is no probability")
        yield score
