"""Reads the clips of a dataset in any layout, and the properties that a config takes from columns or paths."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from emotions.errors import DataError
from training.config.dataset import Column, DatasetConfig, Pattern
from training.data.data_faults import Faults
from training.data.formats.annotations import read_annotations
from training.data.formats.audformat import read_audformat
from training.data.formats.class_folders import read_class_folders
from training.data.formats.entry import Entry
from training.data.formats.kaldi import read_kaldi
from training.data.formats.table import read_tables
from training.data.names import default_targets, with_known_names
from training.data.sources import Source


def read_entries(source: Source, config: DatasetConfig, faults: Faults) -> list[Entry]:
    """Every clip of a dataset, in its order.

    Args:
        source: the dataset.
        config: the target that class folders fill, and the columns that are asked for.
        faults: takes the faults of single clips, which are left out.
    """
    match source.layout:
        case "annotations":
            return [*read_annotations(source.path, faults)]
        case "folders":
            return [*read_class_folders(source.path, config.target, faults)]
        case "audformat":
            entries = [*read_audformat(source.path, default_targets(config), config.tables, faults)]
        case "kaldi":
            entries = [*read_kaldi(source.root, source.parts, config.target, faults)]
        case "table" | "audiofolder":
            entries = read_tables(source.root, source.parts, faults)
    return with_known_names(entries, config)


def column_or_pattern(
    how: Column | Pattern | None, key: str, clips: Sequence[tuple[str, Mapping[str, str]]], faults: Faults
) -> list[str | None]:
    """A property of each clip, such as its speaker; None where unknown.

    Args:
        how: value of ``dataset.<key>`` in the config; None takes the column ``key``.
        key: name of the property.
        clips: name and columns of each.
        faults: takes the clips whose path a pattern does not match.
    """
    if how is None:
        return [columns.get(key) for _, columns in clips]
    if isinstance(how, Column):
        values = [columns.get(how.column) for _, columns in clips]
        if not any(values):
            there = ", ".join(sorted({name for _, columns in clips for name in columns}))
            raise DataError(f"dataset.{key}.column: there is no column {how.column!r}; the columns are {there}")
        return values
    matches = [re.search(how.pattern, name) for name, _ in clips]
    values = [(match[1] or None) if match else None for match in matches]
    for (name, _), value in zip(clips, values, strict=True):
        if value is None:
            faults.add(f"path that the pattern '{how.pattern}' of dataset.{key} does not match", name)
    return values
