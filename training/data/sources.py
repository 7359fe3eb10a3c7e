"""Finds a dataset, and which of the three layouts it has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emotions.errors import DataError
from emotions.inputs.tables import TABLE_SUFFIXES, table_header
from training.config.dataset import DatasetConfig
from training.data.data_faults import some

ANNOTATIONS = "annotations.json"
"""Name of the file that holds the labels of the first layout, beside the clips."""

Layout = Literal["annotations", "table", "folders"]

_HOW_TO_NAME = "name the dataset in dataset.path, or with --set pipeline.0.dataset.path=FOLDER"


@dataclass(frozen=True)
class Source:
    """Location and layout of a dataset.

    Attributes:
        path: the annotations file, the table file, or the folder of class folders.
    """

    path: Path
    layout: Layout

    @property
    def root(self) -> Path:
        """The folder that the names of its clips are relative to."""
        return self.path if self.layout == "folders" else self.path.parent


def locate(config: DatasetConfig, root: Path) -> Source:
    """Find the dataset that a config names.

    Args:
        config: its ``path`` and ``format``.
        root: folder that a relative path starts from; without a path, ``data`` and ``data/dataset`` in it are tried.
    """
    if config.path is None:
        return _look_around(config.format, [root / "data", root / "data" / "dataset"])
    path = root / (config.path if isinstance(config.path, str) else Path(*config.path))
    if not path.exists():
        raise DataError(f"{path}: there is no dataset here; {_HOW_TO_NAME}")
    found = _source(path, config.format)
    if found is None:
        raise DataError(f"{path}: {_nothing_in(path, config.format)}")
    return found


def _look_around(layout: str, folders: list[Path]) -> Source:
    """The first folder with annotations, else with a table, else the innermost one with class folders."""
    present = [folder for folder in folders if folder.is_dir()]
    order = ("annotations", "table", "folders") if layout == "auto" else (layout,)
    for each in order:
        for folder in reversed(present) if each == "folders" else present:
            if (found := _source(folder, each)) is not None:
                return found
    looked = " and ".join(str(folder) for folder in folders)
    raise DataError(f"no dataset: looked in {looked}; {_HOW_TO_NAME}")


def _source(path: Path, layout: str) -> Source | None:
    if path.is_file():
        return _file_source(path, layout)
    if layout in ("auto", "annotations") and (path / ANNOTATIONS).is_file():
        return Source(path / ANNOTATIONS, "annotations")
    if layout in ("auto", "table") and (table := _only_table(path)) is not None:
        return Source(table, "table")
    if layout in ("auto", "folders") and any(
        each.is_dir() and not each.name.startswith(".") for each in path.iterdir()
    ):
        return Source(path, "folders")
    return None


def _file_source(path: Path, layout: str) -> Source | None:
    if layout in ("auto", "table") and path.suffix.lower() in TABLE_SUFFIXES:
        return Source(path, "table")
    if layout in ("auto", "annotations") and path.suffix.lower() == ".json":
        return Source(path, "annotations")
    return None


def _only_table(folder: Path) -> Path | None:
    tables = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in TABLE_SUFFIXES and path.is_file()]
    usable = [path for path in tables if not path.name.startswith(".") and _names_clips(path)]
    if len(usable) > 1:
        names = some(path.name for path in usable)
        raise DataError(f"{folder}: holds several tables ({names}); name one of them in dataset.path")
    return usable[0] if usable else None


def _names_clips(path: Path) -> bool:
    """Whether a table has a column ``file``; tables of predictions have one too, but label nothing."""
    try:
        header = set(table_header(path))
    except DataError:
        return False
    return "file" in header and not {"confidence", "error"} <= header


def _nothing_in(path: Path, layout: str) -> str:
    if path.is_file():
        return f"is not a dataset file (format {layout}): {ANNOTATIONS}, or a table in {', '.join(TABLE_SUFFIXES)}"
    missing = {
        "annotations": f"holds no {ANNOTATIONS}",
        "table": f"holds no table ({', '.join(TABLE_SUFFIXES)}) with a column 'file'",
        "folders": "holds no class folders",
    }
    return missing.get(layout) or f"{missing['annotations']}, no table with a column 'file', and no class folders"
