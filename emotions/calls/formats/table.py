"""Annotations that people made, as a table with a row for each label of each rater."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path, PurePosixPath

from emotions.audio.formats import EXTENSIONS
from emotions.calls.formats.annotation import Annotation
from emotions.calls.formats.elan import read_elan
from emotions.calls.formats.label_studio import read_label_studio
from emotions.calls.formats.textgrid import read_textgrid
from emotions.errors import ConfigError, DataError
from emotions.files.atomic import atomic_file
from emotions.files.content import open_regular
from emotions.files.json_text import parse_json

COLUMNS = ("path", "begin", "end", "label", "rater")
MAX_BYTES = 256 << 20
"""Largest file that is read."""
_DIGITS = 6


@dataclass(frozen=True)
class Label:
    """What a rater says of a recording, or of a part of it.

    Attributes:
        path: of the recording; relative to the table, where it lies beside the file of annotations.
        begin: first second; None for all of the recording, and so its ``end``.
        label: as the rater wrote it.
        rater: who: a person, or the tier's name.
    """

    path: str
    begin: float | None
    end: float | None
    label: str
    rater: str


def read_annotations(path: Path) -> Iterator[Annotation]:
    """The annotations in a file: a TextGrid, an EAF file of ELAN, or an export of Label Studio, told by its ending.

    Args:
        path: the file.

    Raises:
        DataError: it cannot be read, is too large, or is none of these.
    """
    ending, data = path.suffix.lower(), _content(path)
    if ending == ".textgrid":
        yield replace(read_textgrid(_decoded(data, path), str(path)), file="")
    elif ending == ".eaf":
        yield read_elan(data, str(path))
    elif ending == ".json":
        try:
            yield from read_label_studio(parse_json(_decoded(data, path), str(path)), str(path))
        except ConfigError as error:
            raise DataError(str(error)) from error
    else:
        raise DataError(
            f"{path}: is no file of annotations by its ending: .TextGrid, .eaf (ELAN), .json (Label Studio)"
        )


def _content(path: Path) -> bytes:
    try:
        with open_regular(path) as stream:
            data: bytes = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MAX_BYTES:
        raise DataError(f"{path}: has more than {MAX_BYTES:,} bytes")
    return data


def _decoded(data: bytes, path: Path) -> str:
    """A text in UTF-8, or in UTF-16 with a byte order mark, as Praat writes it."""
    encoding = "utf-16" if data[:2] in (b"\xfe\xff", b"\xff\xfe") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: its text cannot be decoded ({error.reason}); save it as UTF-8") from error


def labels_of(path: Path, folder: Path, tiers: Sequence[str] = ()) -> Iterator[Label]:
    """The labels in a file of annotations.

    Args:
        path: the file.
        folder: of the table, which paths are relative to.
        tiers: patterns of names of tiers, or of controls of Label Studio; by default all.

    Raises:
        DataError: as ``read_annotations``; or a time is no number.
    """
    for annotation in read_annotations(path):
        recording = _recording(annotation.file, path, folder)
        for tier in annotation.tiers:
            if tiers and not any(fnmatchcase(tier.name, pattern) for pattern in tiers):
                continue
            for each in tier.intervals:
                if not (math.isfinite(each.start) and math.isfinite(each.end) and 0 <= each.start <= each.end):
                    raise DataError(
                        f"{path}: the tier {tier.name[:40]!r} has an interval from {each.start} to {each.end}"
                    )
                whole = each.end == 0
                begin, end = (None if whole else round(edge, _DIGITS) for edge in (each.start, each.end))
                yield Label(recording, begin, end, each.label.strip(), tier.rater)


def _recording(named: str, path: Path, folder: Path) -> str:
    """The path of a recording: of the one beside the annotations, if there is one, else as they name it."""
    if not named:
        beside = sorted(each for each in path.parent.glob("*") if each.stem == path.stem and _is_recording(each))
        named = beside[0].name if beside else f"{path.stem}.wav"
    inside = PurePosixPath(named)
    if inside.is_absolute() or ".." in inside.parts or "://" in named or not (path.parent / inside).is_file():
        return named
    return Path(os.path.relpath(path.parent / inside, folder)).as_posix()


def _is_recording(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS


def write_labels(labels: Iterable[Label], output: Path) -> int:
    """Write labels as a table in CSV, and give their number.

    Args:
        labels: a row each.
        output: the table; what is there is replaced when it is complete.

    Raises:
        DataError: there is none.
    """
    count = 0
    with atomic_file(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for count, each in enumerate(labels, 1):  # noqa: B007 - their number
            writer.writerow(["" if value is None else value for value in vars(each).values()])
        if not count:
            raise DataError("no label is found in these files; --tier names the tiers or controls to read")
    return count


def import_labels(paths: Sequence[Path], output: Path, tiers: Sequence[str] = ()) -> int:
    """Read files of annotations into one table, and give the number of its rows. Args and Raises as ``labels_of``.

    Args:
        paths: the files.
        output: the table.
        tiers: patterns of names of tiers or controls.
    """
    folder = output.absolute().parent
    return write_labels(chain.from_iterable(labels_of(path, folder, tiers) for path in paths), output)
