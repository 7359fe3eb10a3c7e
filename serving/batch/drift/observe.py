"""Clips to what is looked at of them: recordings through the model, or rows of a table of answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from emotions.audio.signal_measure import Signal
from emotions.audio.windows import FloatArray
from emotions.bundle.manifest import EMBEDDING, Manifest
from emotions.bundle.reference.observation import Observation
from emotions.errors import ConfigError, DataError
from emotions.files.json_text import parse_json
from emotions.folder.measure import measure_file
from emotions.folder.predict_files import open_parallel, predict_files
from emotions.inputs.discovery import find_files
from emotions.inputs.input_file import InputFile
from emotions.inputs.locate import locate_recording
from emotions.inputs.tables import Row, TableRow, iter_table, seconds

MAX_CLIPS = 1_000_000
"""Most rows of all tables together."""
SIGNAL = ("level", "signal_to_noise", "bandwidth")
"""Columns of a table that hold what its recordings sound like."""


def observed_recordings(bundle: Path, inputs: Sequence[Path | str]) -> list[Observation]:
    """Classify and measure recordings; those that cannot be used are left out.

    Args:
        bundle: the bundle that classifies.
        inputs: as ``emotions predict`` takes them.

    Raises:
        DataError: an input is missing, or holds no recording.
        BundleError: the bundle cannot be used.
    """
    from emotions.bundle.bundle import read_bundle

    files = find_files(inputs).files
    if not files:
        raise DataError(f"{', '.join(map(str, inputs))}: no recording found")
    embedding = read_bundle(bundle).manifest.embedding is not None
    model, runs = open_parallel(bundle, embedding=embedding)
    found = []
    for file, result in zip(files, predict_files(model, files, parallel_batches=runs), strict=True):
        if result.prediction is not None:
            said, mean = result.prediction, None if result.embedding is None else result.embedding.mean(axis=0)
            clip = Observation(said.probabilities, said.values, said.duration_sec, measure_file(file), mean)
            found.append(clip)
    return found


def observed_tables(tables: Sequence[Path], manifest: Manifest, recordings: Path | None) -> list[Observation]:
    """The rows of tables of answers; those of errors are left out.

    Args:
        tables: as ``emotions predict`` writes them: CSV, JSON Lines, Parquet.
        manifest: of the bundle that gave the answers.
        recordings: folder that the names in the tables start from, to listen to them; None where nobody does.

    Raises:
        DataError: a table cannot be read, has no answers of this bundle's targets, or too many rows.
    """
    found = list[Observation]()
    for table in tables:
        for row in iter_table(table):
            if len(found) == MAX_CLIPS:
                raise DataError(f"{table}: there are more than {MAX_CLIPS:,} rows; name fewer tables")
            if "error" not in row.columns:
                found.append(_observed_row(table, row, manifest, recordings))
    return found


def _observed_row(table: Path, row: TableRow, manifest: Manifest, recordings: Path | None) -> Observation:
    cells, where = row.columns, f"{table}: row {row.number}"
    signal = _signal(cells, where)
    if signal is None and recordings is not None:
        signal = measure_file(_recording(cells, recordings, where))
    return Observation(
        {target: dict(_scores(cells, target, names, where)) for target, names in manifest.labels.items()},
        {target: dict(_scores(cells, target, names, where)) for target, names in manifest.dimensions.items()},
        _number(cells, "duration", where) if "duration" in cells else None,
        signal,
        _embedding(cells, where),
    )


def _scores(cells: Row, target: str, names: Sequence[str], where: str) -> Iterator[tuple[str, float]]:
    for name in names:
        if f"{target}.{name}" not in cells:
            raise DataError(f"{where}: has no {target}.{name}: it is no table of this bundle's answers")
        yield name, _number(cells, f"{target}.{name}", where)


def _signal(cells: Row, where: str) -> Signal | None:
    return Signal(*(_number(cells, name, where) for name in SIGNAL)) if all(name in cells for name in SIGNAL) else None


def _number(cells: Row, name: str, where: str) -> float:
    try:
        value = float(cells[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {name} is {cells[name][:40]!r}, no number")
    return value


def _embedding(cells: Row, where: str) -> FloatArray | None:
    if EMBEDDING not in cells:
        return None
    try:
        values = np.array(parse_json(cells[EMBEDDING], where), np.float32)
    except (ConfigError, ValueError, TypeError) as error:
        raise DataError(f"{where}: its {EMBEDDING} is no list of numbers") from error
    if values.ndim != 1 or not np.isfinite(values).all():
        raise DataError(f"{where}: its {EMBEDDING} is no list of numbers")
    return values


def _recording(cells: Mapping[str, str], folder: Path, where: str) -> InputFile:
    name = cells.get("file", "")
    path = locate_recording(folder, name) if name else None
    if path is None:
        raise DataError(f"{where}: {name or 'no file'} is not in {folder}; name the folder that the table is of")
    channel = cells.get("channel", "")
    return InputFile(
        path,
        name,
        seconds(cells["start"]) if "start" in cells else None,
        seconds(cells["end"]) if "end" in cells else None,
        channel=int(channel) if channel.isdecimal() else None,
    )
