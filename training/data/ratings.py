"""Several raters of a recording: rows of a table, or columns of shares, to one distribution of labels a clip.

A tie is kept as it is. The one label that UAR and the like need is then, of those with the largest share, the one that
is given more often in all the data; of these the first by code point.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from emotions.inputs.tables import seconds
from training.config.dataset import Column, DatasetConfig
from training.config.targets import RatersTarget, SharesTarget
from training.data.data_faults import Faults
from training.data.formats.entry import Entry

RATER = "rater"
"""The column that names the rater where no config names another."""
Votes = Mapping[str, Mapping[str, int]]
Shares = Mapping[str, float]

_TIMES = ("start", "end")
_ALIKE = 1e-6
_ROUNDING = 0.01
"""By how much shares may miss 1, and a hundredth of each label more: they are rounded in tables."""
_NO_RATER = "row names no rater"
_TWICE = "clip is rated twice by one rater (remove one of the rows)"
_NO_SHARE = "has a share that is not a number of 0 or more"


def raters_of(entries: Sequence[Entry], config: DatasetConfig) -> dict[str, RatersTarget]:
    """The targets that several raters labelled, each in rows of their own.

    They are those that the config names; where it names no targets, its target where a column ``rater`` tells rows of
    one clip apart.

    Args:
        entries: rows of the dataset.
        config: names targets.
    """
    if config.targets is not None:
        return config.rated
    if not any(RATER in entry.columns for entry in entries):
        return {}
    seen = Counter(map(_clip_of, entries))
    return {config.target: RatersTarget(raters=RATER)} if max(seen.values()) > 1 else {}


def merged(
    entries: Sequence[Entry], targets: Mapping[str, RatersTarget], config: DatasetConfig, faults: Faults
) -> list[Entry]:
    """One entry a clip, with the votes of its raters, in the order of the first rows.

    Columns that differ between the rows of a clip, such as a remark, are left out.

    Args:
        entries: one row a rater.
        targets: of ``raters_of``, at least one; all name one column of raters.
        config: names what must not differ.
        faults: takes rows without a rater, raters who rated nothing or a clip twice, and rows of one clip that differ.
    """
    column = next(iter(targets.values())).raters
    rows: defaultdict[object, list[Entry]] = defaultdict(list)
    given: Counter[str] = Counter()
    for entry in entries:
        rater = entry.columns.get(column, "").strip()
        if not rater:
            faults.add(f"{_NO_RATER} (column {column!r})", entry.name)
            continue
        given[rater] += sum(bool(entry.columns.get(target)) for target in targets)
        rows[_clip_of(entry)].append(entry)
    for rater, count in given.items():
        if not count:
            faults.add(f"rater has rated nothing (fill in {' or '.join(targets)}, or remove the rater's rows)", rater)
    kept = _must_agree(config, {*targets, column})
    return [_one(of_clip, targets, column, kept, faults) for of_clip in rows.values()]


def _clip_of(entry: Entry) -> object:
    times = [entry.columns.get(key) for key in _TIMES]
    try:
        return (entry.name, *(None if each is None else seconds(each) for each in times))
    except ValueError:  # told later, as of any clip
        return (entry.name, *times)


def _must_agree(config: DatasetConfig, without: set[str]) -> set[str]:
    """Columns that say something of the clip, so that its rows must not contradict each other."""
    numbers = [column for about in config.dimensional.values() for column in about.dimensions]
    shares = [column for about in config.shared.values() for column in about.shares]
    origins = [each.column for each in (config.speaker, config.recording, config.sentence) if isinstance(each, Column)]
    known = {"speaker", "recording", "split", *origins, *numbers, *shares, *(config.columns or ())}
    return known - without


def _one(
    rows: Sequence[Entry], targets: Mapping[str, RatersTarget], column: str, kept: set[str], faults: Faults
) -> Entry:
    first = rows[0]
    raters = Counter(row.columns[column].strip() for row in rows)
    if max(raters.values()) > 1:
        faults.add(_TWICE, first.name)
    values: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        for name, value in row.columns.items():
            values[name].add(value)
    for name in sorted(kept & values.keys()):
        if len(values[name]) > 1:
            faults.add(f"rows of one clip differ in the column {name!r} (write it alike)", first.name)
    alike = {name: next(iter(found)) for name, found in values.items() if len(found) == 1}
    alike |= {name: first.columns[name] for name in _TIMES if name in first.columns}  # 0.5 and 0.50 are one time
    columns = {name: value for name, value in alike.items() if name not in {*targets, column}}
    votes = {target: Counter(label for row in rows if (label := row.columns.get(target))) for target in targets}
    return replace(first, columns=columns, votes={target: found for target, found in votes.items() if found})


def shares_of_votes(votes: Mapping[str, int]) -> dict[str, float]:
    """Share of each label among the votes."""
    every = sum(votes.values())
    return {label: count / every for label, count in votes.items()}


def shares_of_columns(
    columns: Mapping[str, str], target: str, about: SharesTarget, name: str, faults: Faults
) -> dict[str, float]:
    """The shares of a clip's labels, above 0, that sum to 1; empty where all cells are.

    Args:
        columns: the clip's columns.
        target: name of the target.
        about: its columns.
        name: of the clip, for faults.
        faults: takes shares that are no numbers, negative, or do not sum to 1.
    """
    cells = {column: columns.get(column, "").strip() for column in about.shares}
    if not any(cells.values()):
        return {}
    found = {about.label_of(target, column): _share(cell) for column, cell in cells.items()}
    if not all(math.isfinite(share) and share >= 0 for share in found.values()):
        faults.add(f"{_NO_SHARE} (columns of {target})", name)
        return {}
    every = math.fsum(found.values())
    if abs(every - 1) > _ROUNDING * (1 + len(found)) / 2:
        faults.add(f"shares of {target} sum to {every:g}, not to 1 (divide them by that)", name)
        return {}
    return {label: share / every for label, share in found.items() if share > 0}


def _share(cell: str) -> float:
    try:
        return float(cell or "0")
    except ValueError:
        return math.nan


def tied(shares: Shares) -> list[str]:
    """The labels with the largest share, by code point; several where raters are at odds."""
    most = max(shares.values())
    return sorted(label for label, share in shares.items() if share > most - _ALIKE)


def majorities(distributions: Iterable[Shares]) -> list[str]:
    """The one label of each distribution, as the module's head says.

    Args:
        distributions: of all clips of a target, none of them empty.
    """
    every = [*distributions]
    given: defaultdict[str, float] = defaultdict(float)
    for shares in every:
        for label, share in shares.items():
            given[label] += share
    return [min(tied(shares), key=lambda label: (-round(given[label], 6), label)) for shares in every]
