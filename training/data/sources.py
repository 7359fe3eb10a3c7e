"""Finds a dataset, and which layout it has."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emotions.errors import DataError
from emotions.inputs.columns import FILE, no_file_column
from emotions.inputs.tables import TABLE_SUFFIXES, table_header
from training.config.dataset import DatasetConfig
from training.data.data_faults import some
from training.data.formats.audformat import HEADER
from training.data.formats.entry import SPLIT_NAMES
from training.data.formats.kaldi import SCRIPT
from training.data.formats.table import METADATA, Part
from training.data.names import labels_in

ANNOTATIONS = "annotations.json"
"""Name of the file that holds the labels of the first layout, beside the clips."""

Layout = Literal["annotations", "audformat", "kaldi", "audiofolder", "table", "folders"]

_HOW_TO_NAME = "name the dataset in dataset.path, or with --set pipeline.0.dataset.path=FOLDER"
_SHARD = re.compile(r"(?P<split>.+?)-\d+(-of-\d+)?")


@dataclass(frozen=True)
class Source:
    """Location and layout of a dataset.

    Attributes:
        path: what messages name: a file, or a folder.
        root: the folder that the names of its clips are relative to.
        parts: its files or data folders, each with the part of a split that it holds, where the layout has several.
    """

    path: Path
    layout: Layout
    root: Path
    parts: tuple[Part, ...] = ()

    def __str__(self) -> str:
        """The path, with the names of the files where there are several."""
        names = [part.relative_to(self.root).as_posix() for part, _ in self.parts]
        return f"{self.path} ({some(names)})" if len(names) > 1 else str(self.path)


def locate(config: DatasetConfig, root: Path) -> Source:
    """Find the dataset that a config names.

    Args:
        config: its ``path`` and ``format``.
        root: folder that a relative path starts from; without a path, ``data`` and ``data/dataset`` in it are tried.
    """
    if config.path is None:
        return _look_around(config, [root / "data", root / "data" / "dataset"])
    path = root / (config.path if isinstance(config.path, str) else Path(*config.path))
    if not path.exists():
        raise DataError(f"{path}: there is no dataset here; {_HOW_TO_NAME}")
    found = _file_source(path, config.format) if path.is_file() else _folder_source([path], config)
    if found is None:
        raise DataError(f"{path}: {_nothing_in(path, config)}")
    return found


def _look_around(config: DatasetConfig, folders: list[Path]) -> Source:
    found = _folder_source([folder for folder in folders if folder.is_dir()], config)
    if found is None:
        looked = " and ".join(str(folder) for folder in folders)
        raise DataError(f"no dataset: looked in {looked}; {_HOW_TO_NAME}")
    return found


def _folder_source(folders: list[Path], config: DatasetConfig) -> Source | None:
    """The first folder with a layout that names its clips, else the innermost one with class folders."""
    for layout, find in _FINDERS.items():
        if config.format in ("auto", layout):
            for folder in reversed(folders) if layout == "folders" else folders:
                source = find(folder, config)
                # A table without labels says nothing where class folders do.
                if source is not None and (config.format == layout or _has_labels(source, config)):
                    return source
    if config.format == "auto":  # for what can be said of it
        return next((source for each in folders if (source := _tables(each, config)) is not None), None)
    return None


def _has_labels(source: Source, config: DatasetConfig) -> bool:
    tables = [part for part, _ in source.parts] if source.layout in ("audiofolder", "table") else []
    return not tables or any(labels_in(table_header(table), config) for table in tables)


def _annotations(folder: Path, _: DatasetConfig) -> Source | None:
    path = folder / ANNOTATIONS
    return Source(path, "annotations", folder) if path.is_file() else None


def _audformat(folder: Path, _: DatasetConfig) -> Source | None:
    path = folder / HEADER
    return Source(path, "audformat", folder) if path.is_file() else None


def _kaldi(folder: Path, _: DatasetConfig) -> Source | None:
    parts = _in_parts(folder, lambda each: (each / SCRIPT).is_file())
    return Source(folder, "kaldi", folder, parts) if parts else None


def _audiofolder(folder: Path, _: DatasetConfig) -> Source | None:
    def table(each: Path) -> Path | None:
        named = (each / f"{METADATA}{ending}" for ending in TABLE_SUFFIXES)
        return next((path for path in named if path.is_file()), None)

    parts = _in_parts(folder, lambda each: table(each) is not None)
    files = tuple((path, split) for each, split in parts if (path := table(each)) is not None)
    return Source(folder, "audiofolder", folder, files) if files else None


def _in_parts(folder: Path, has: Callable[[Path], bool]) -> tuple[Part, ...]:
    """The folder itself if it has what is looked for, else the folders of a split's parts that have it."""
    if has(folder):
        return ((folder, None),)
    below = [each for each in sorted(folder.iterdir()) if each.is_dir() and each.name.lower() in SPLIT_NAMES]
    return tuple((each, each.name) for each in below if has(each))


def _tables(folder: Path, config: DatasetConfig) -> Source | None:
    """The only table, one for each part of a split, or the shards of one; in the folder, or in ``data`` below it."""
    for place in (folder, folder / "data"):
        usable = [path for path in sorted(place.iterdir()) if _names_clips(path)] if place.is_dir() else []
        labelled = [path for path in usable if labels_in(table_header(path), config)]
        tables = labelled or usable
        if len(tables) == 1:
            return Source(tables[0], "table", place, ((tables[0], None),))
        parts = tuple((path, _part_of(path)) for path in tables)
        if tables and (all(part for _, part in parts) or _are_shards(tables)):
            return Source(folder, "table", place, parts)
        if labelled or (tables and config.format == "table"):
            names = some(path.name for path in tables)
            raise DataError(f"{place}: holds several tables ({names}); name one of them in dataset.path")
    return None


def _part_of(table: Path) -> str | None:
    """The part of a split that a table is called after: ``dev.csv``, ``train-00000-of-00002.parquet``."""
    shard = _SHARD.fullmatch(table.stem)
    name = shard["split"] if shard else table.stem
    return name if name.lower() in SPLIT_NAMES else None


def _are_shards(tables: list[Path]) -> bool:
    """Whether tables are numbered parts of one, ``part-00000.parquet`` and so on."""
    stems = [_SHARD.fullmatch(table.stem) for table in tables]
    return all(table.suffix.lower() == ".parquet" for table in tables) and all(stems)


def _class_folders(folder: Path, _: DatasetConfig) -> Source | None:
    holds = any(each.is_dir() and not each.name.startswith(".") for each in folder.iterdir())
    return Source(folder, "folders", folder) if holds else None


_FINDERS: dict[Layout, Callable[[Path, DatasetConfig], Source | None]] = {
    "annotations": _annotations,
    "audformat": _audformat,
    "kaldi": _kaldi,
    "audiofolder": _audiofolder,
    "table": _tables,
    "folders": _class_folders,
}


def _file_source(path: Path, layout: str) -> Source | None:
    if layout in ("auto", "table", "audiofolder") and path.suffix.lower() in TABLE_SUFFIXES:
        return Source(path, "table", path.parent, ((path, None),))
    if layout in ("auto", "audformat") and path.name == HEADER:
        return Source(path, "audformat", path.parent)
    if layout in ("auto", "kaldi") and path.name == SCRIPT:
        return Source(path.parent, "kaldi", path.parent, ((path.parent, None),))
    if layout in ("auto", "annotations") and path.suffix.lower() == ".json":
        return Source(path, "annotations", path.parent)
    return None


def _names_clips(path: Path) -> bool:
    """Whether a table has a column ``file``; tables of predictions have one too, but label nothing."""
    if path.suffix.lower() not in TABLE_SUFFIXES or path.name.startswith(".") or not path.is_file():
        return False
    try:
        header = set(table_header(path))
    except DataError:
        return False
    return FILE in header and not {"confidence", "error"} <= header


def _nothing_in(path: Path, config: DatasetConfig) -> str:
    layout = config.format
    endings = ", ".join(TABLE_SUFFIXES)
    if path.is_file():
        return f"is not a dataset file (format {layout}): {ANNOTATIONS}, {HEADER}, {SCRIPT}, or a table in {endings}"
    missing = {
        "annotations": f"holds no {ANNOTATIONS}",
        "table": f"holds no table ({endings}) with a column 'file'{_tables_there(path)}",
        "folders": "holds no class folders",
        "audformat": f"holds no {HEADER}",
        "kaldi": f"holds no {SCRIPT}",
        "audiofolder": f"holds no {METADATA} table ({endings})",
    }
    return missing.get(layout) or (
        f"{missing['annotations']}, no {HEADER}, no {SCRIPT}, no table with a column 'file', and no class folders "
        f"such as angry/clip.wav{_tables_there(path)}"
    )


def _tables_there(folder: Path) -> str:
    """What is wrong with the first table of a folder, in brackets; empty where there is none."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in TABLE_SUFFIXES and path.is_file() and not path.name.startswith("."):
            try:
                return f" ({path.name} {no_file_column(table_header(path))})"
            except DataError as error:
                return f" ({error})"
    return ""
