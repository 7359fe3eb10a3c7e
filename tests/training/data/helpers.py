"""Datasets for tests: read from a path, or made up without files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.config.dataset import DatasetConfig
from training.data.clips import Clip, ClipTable, read_clips


def read(path: Path, **keys: Any) -> ClipTable:
    """The clips at a path."""
    return read_clips(DatasetConfig(path=str(path), **keys), Path("/"))


def table_of(rows: Sequence[tuple[str | None, str]], **columns: list[str]) -> ClipTable:
    """A table without files: (speaker, label) a clip."""
    clips = tuple(
        Clip(
            file=Path(f"/none/{index}.wav"),
            name=f"{index}.wav",
            start=None,
            end=None,
            labels={"emotion": label},
            speaker=speaker,
            recording=f"{speaker}/{index // 2}",
            split=columns["split"][index] if "split" in columns else None,
            columns={name: values[index] for name, values in columns.items() if name != "split"},
        )
        for index, (speaker, label) in enumerate(rows)
    )
    return ClipTable(Path("/none"), clips, ("emotion",))
