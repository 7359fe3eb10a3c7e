"""The layout of audformat: a header, ``db.yaml``, and tables beside it, ``db.<table>.csv`` or ``.parquet``.

The rows of the tables that have the target are the clips; other tables and the schemes add what they know of a file,
a segment or a speaker. Tables that are kept as pickles alone are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from emotions.errors import DataError, MissingExtra, first_line
from emotions.inputs.columns import FILE
from emotions.inputs.locate import locate_recording
from emotions.inputs.tables import Row, iter_table
from training.data.data_faults import Faults
from training.data.formats.entry import MISSING, Entry, entry_of

HEADER = "db.yaml"
"""Name of the header of a database."""

_MAX_HEADER_BYTES = 64 << 20
_GOLD = "gold_standard"
_INDEX = (FILE, "start", "end")
_Key = tuple[str | None, ...]


def read_audformat(
    header: Path, targets: Sequence[str], tables: Sequence[str] | None, faults: Faults
) -> Iterator[Entry]:
    """The clips of a database.

    Args:
        header: its ``db.yaml``.
        targets: columns to learn; the first one that a table has says which tables hold the clips.
        tables: the tables to take; None where the header tells.
        faults: takes the faults of single rows, which are left out.
    """
    database = _Database(header)
    chosen = database.label_tables(targets, tables)
    known = database.known_by_index(set(chosen))
    for table in chosen:
        split = database.split_of(table)
        for row in iter_table(database.file_of(table)):
            name = row.columns.get(FILE)
            if name is None:
                faults.add("row has no file", f"{table} row {row.number}")
            elif (file := locate_recording(header.parent, name)) is None:
                faults.add(MISSING, name)
            else:
                columns = {**known.get((name,), {}), **known.get(_key(row.columns), {}), **row.columns}
                columns = {column: value for column, value in columns.items() if column != FILE and value != "NaT"}
                columns.update({"split": split} if split else {})
                yield entry_of(header.parent, file, database.with_attributes(columns))


def _key(columns: Row) -> _Key:
    return tuple(columns.get(name) for name in _INDEX)


class _Database:
    """The header of a database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._target = ""
        self._header = _read_header(path)
        self._tables = {name: _mapping(table) for name, table in self._section("tables").items()}
        self._attributes = {name: self._of_scheme(_mapping(each)) for name, each in self._section("schemes").items()}
        self._schemes = {
            column: str(_mapping(described).get("scheme_id"))
            for table in self._tables.values()
            for column, described in _mapping(table.get("columns")).items()
        }

    def _section(self, name: str) -> dict[str, Any]:
        return _mapping(self._header.get(name))

    def label_tables(self, targets: Sequence[str], tables: Sequence[str] | None) -> list[str]:
        """The tables whose rows are the clips: those of a split, else the only one, else that of the gold standard."""
        unknown = [name for name in tables or () if name not in self._tables]
        if unknown:
            raise DataError(
                f"{self._path}: has no table {unknown[0]!r}; its tables: {', '.join(self._tables) or 'none'}"
            )
        if tables:
            having_any = (each for each in targets if any(each in self._columns(name) for name in tables))
            self._target = next(having_any, "")
            return [*tables]
        having = [
            (target, found)
            for target in targets
            if (found := [name for name, table in self._tables.items() if target in _mapping(table.get("columns"))])
        ]
        if not having:
            columns = sorted({column for table in self._tables.values() for column in _mapping(table.get("columns"))})
            there = ", ".join(columns) or "none"
            raise DataError(
                f"{self._path}: no table has a column {' or '.join(map(repr, targets))} to learn; the columns are "
                f"{there}; name one in dataset.targets"
            )
        self._target, found = having[0]
        chosen = [name for name in found if self.split_of(name)] or (found if len(found) == 1 else []) or _gold(found)
        if not chosen:
            raise DataError(
                f"{self._path}: several tables have {self._target!r}: {', '.join(found)}; name those to use "
                'in dataset.tables, as ["' + found[0] + '"]'
            )
        return chosen

    def _columns(self, table: str) -> dict[str, Any]:
        return _mapping(self._tables[table].get("columns"))

    def split_of(self, table: str) -> str:
        """The part of the split that a table holds, by the type of its split; empty where it holds no part."""
        split = self._tables[table].get("split_id")
        return str(_mapping(self._section("splits").get(str(split))).get("type") or split or "")

    def file_of(self, table: str) -> Path:
        """The file of a table."""
        if PurePath(table).name != table:
            raise DataError(f"{self._path}: {table!r} is no name of a table")
        for ending in ("parquet", "csv"):
            path = self._path.with_name(f"db.{table}.{ending}")
            if path.is_file():
                return path
        if self._path.with_name(f"db.{table}.pkl").exists():
            raise DataError(
                f"{self._path}: the table {table!r} is a pickle alone, which is never opened; save the database with "
                'storage_format="parquet" or "csv"'
            )
        raise DataError(f"{self._path}: the table {table!r} has no file db.{table}.parquet or db.{table}.csv")

    def known_by_index(self, without: set[str]) -> Mapping[_Key, dict[str, str]]:
        """What the other tables say of files and segments."""
        known: dict[_Key, dict[str, str]] = {}
        for table, described in self._tables.items():
            columns = _mapping(described.get("columns"))
            if table in without or self.split_of(table) or not columns or self._target in columns:
                continue  # other labels of the same target, such as those of single raters, say nothing of a clip
            for row in iter_table(self.file_of(table)):
                name = row.columns.get(FILE)
                key = _key(row.columns) if described.get("type") == "segmented" else (name,)
                there = known.setdefault(key, {})
                there.update({each: value for each, value in row.columns.items() if each not in {*_INDEX, *there}})
        return known

    def with_attributes(self, columns: Row) -> Row:
        """Columns with what their schemes say of their values: the sex and age of a speaker."""
        added: dict[str, str] = {}
        for column, value in columns.items():
            added.update(self._attributes.get(self._schemes.get(column, ""), {}).get(value, {}))
        return {**added, **columns}

    def _of_scheme(self, scheme: Mapping[str, Any]) -> dict[str, dict[str, str]]:
        """The attributes of each label of a scheme: of its own, or those of a table that it names."""
        labels = scheme.get("labels")
        if isinstance(labels, str) and labels in self._section("misc_tables"):
            levels = _mapping(self._section("misc_tables")[labels]).get("levels")
            index = next(iter(levels), labels) if isinstance(levels, dict | list) else labels
            rows = [row.columns for row in iter_table(self.file_of(labels))]
            return {
                row[str(index)]: {name: value for name, value in row.items() if name != str(index)}
                for row in rows
                if str(index) in row
            }
        return {
            str(label): {str(name): str(value) for name, value in attributes.items() if value is not None}
            for label, attributes in _mapping(labels).items()
            if isinstance(attributes, dict)
        }


def _gold(names: Sequence[str]) -> list[str]:
    gold = [name for name in names if name.endswith(_GOLD)]
    return gold if len(gold) == 1 else []


def _mapping(value: Any) -> dict[str, Any]:
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else {}


def _read_header(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("train", "pyyaml") from error
    if path.stat().st_size > _MAX_HEADER_BYTES:
        raise DataError(f"{path}: is larger than {_MAX_HEADER_BYTES >> 20} MiB, the most that is read of a header")
    try:
        header = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (yaml.YAMLError, UnicodeError, RecursionError, ValueError) as error:
        raise DataError(f"{path}: is not YAML ({first_line(error)})") from error
    if not isinstance(header, dict) or not isinstance(header.get("tables"), dict):
        raise DataError(f"{path}: is not the header of an audformat database: it has no tables")
    return header
