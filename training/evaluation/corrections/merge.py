"""The data of a run and new labels of people as one table, a row a rater; the run's test part stays as it was."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emotions.errors import DataError
from emotions.files.atomic import atomic_file
from emotions.inputs.input_file import is_url
from emotions.inputs.locate import locate_recording
from emotions.inputs.tables import TableRow, iter_table, seconds
from training.data.clips import Clip
from training.data.data_faults import some
from training.data.split.splits import PARTS
from training.run_folder.read import Run

CORPUS = "corpus"
"""The rater in whose name the old labels stand."""
_TIMES = ("start", "end")
_Key = tuple[str, float | None, float | None]


@dataclass(frozen=True)
class Merged:
    """What was written.

    Attributes:
        old: clips of the run that keep their label.
        corrected: clips of the run whose label people gave anew.
        added: clips that are new.
        left_out: labels of the run's test clips or test speakers, which stay as they were.
    """

    old: int
    corrected: int
    added: int
    left_out: int


def merge(run: Run, labels: Path, recordings: Path, output: Path, target: str | None = None) -> Merged:
    """Write the clips of a run, each with its part of the split, and new labels, which are learnt.

    A new clip goes where its speaker is, and into training where nobody knows the speaker. People's labels take the
    place of the old one of a clip; labels of clips or speakers of the test part are left out.

    Args:
        run: its dataset must be where it was.
        labels: table of ``emotions data import``, perhaps with a column ``speaker``.
        recordings: folder that its paths start from.
        output: the table, .csv.
        target: that the labels are of; by default the run's first.

    Raises:
        DataError: a label is not one of the run's, a recording is not there, or there is no such target.
    """
    target = target or run.table.targets[0]
    if target not in run.table.targets:
        raise DataError(f"{run.folder}: has no target {target!r}; its targets are {', '.join(run.table.targets)}")
    part_of = {at: part for part in PARTS for at in getattr(run.split, part)}
    clips = [(clip, part_of[at]) for at, clip in enumerate(run.table.clips) if at in part_of and target in clip.labels]
    given = _given(labels, recordings, target, set(run.table.labels(target)))
    kept, left_out = _without_test(given, clips)
    old = [(clip, part) for clip, part in clips if _key(clip) not in kept]
    rows = [*(_old_row(clip, part, target) for clip, part in old), *_new_rows(kept, clips, target)]
    _write(output, rows, target)
    corrected = len(clips) - len(old)
    return Merged(len(old), corrected, len(kept) - corrected, left_out)


@dataclass(frozen=True)
class _Label:
    label: str
    rater: str
    speaker: str


def _given(table: Path, folder: Path, target: str, known: set[str]) -> dict[_Key, list[_Label]]:
    """The new labels of each clip."""
    found = defaultdict[_Key, list[_Label]](list)
    unknown, missing = set[str](), list[str]()
    for row in iter_table(table):
        cells = row.columns
        label, name = cells.get("label") or cells.get(target, ""), cells.get("file", "")
        path = locate_recording(folder, name) if name else None
        if path is None:
            missing.append(name or f"row {row.number}")
        elif label not in known:
            unknown.add(label)
        else:
            key = (str(path.resolve()), *_times(row, table))
            found[key].append(_Label(label, cells.get("rater", "rater 1"), cells.get("speaker", "")))
    if missing:
        raise DataError(f"{table}: {some(missing)} not in {folder}; name the folder of the recordings")
    if unknown:
        raise DataError(f"{table}: {some(sorted(unknown))} is no label of {target}: {', '.join(sorted(known))}")
    return dict(found)


def _times(row: TableRow, table: Path) -> tuple[float | None, float | None]:
    try:
        start, end = (seconds(row.columns[name]) if name in row.columns else None for name in _TIMES)
    except ValueError as error:
        raise DataError(f"{table}: row {row.number}: {error}") from error
    return start, end


def _key(clip: Clip) -> _Key:
    if is_url(clip.file):
        raise DataError(f"{clip}: is inside a table of Parquet, which a new table cannot name")
    return str(Path(clip.file).resolve()), clip.start, clip.end


def _without_test(
    given: Mapping[_Key, list[_Label]], clips: Sequence[tuple[Clip, str]]
) -> tuple[dict[_Key, list[_Label]], int]:
    """The labels that may be trained on, and how many may not: of recordings or speakers of the test part."""
    tested = [clip for clip, part in clips if part == "test"]
    files, speakers = {_key(clip)[0] for clip in tested}, {clip.speaker for clip in tested if clip.speaker}
    kept = {
        key: found
        for key, found in given.items()
        if key[0] not in files and not any(each.speaker in speakers for each in found)
    }
    return kept, sum(len(found) for key, found in given.items() if key not in kept)


def _old_row(clip: Clip, part: str, target: str) -> dict[str, str]:
    return _row(_key(clip), clip.labels[target], CORPUS, _speaker(clip), part, target)


def _new_rows(
    given: Mapping[_Key, list[_Label]], clips: Sequence[tuple[Clip, str]], target: str
) -> Iterator[dict[str, str]]:
    """A row a rater: of a clip of the run with its part and speaker, of a new one in the part of its speaker."""
    known, parts = {_key(clip): (clip, part) for clip, part in clips}, _parts(clips)
    for key, found in given.items():
        named = next((each.speaker for each in found if each.speaker), "")
        # Nobody may be on both sides: a new clip goes where the recording is that it is of, or else its speaker.
        clip, part = known.get(key, (None, parts.get(key[0]) or parts.get(f"speaker {named}", "train")))
        # Whoever is not named is nobody else: a name of their own for each recording.
        speaker = _speaker(clip) if clip is not None else named or f"unknown {Path(key[0]).stem}"
        for each in found:
            yield _row(key, each.label, each.rater, speaker, part, target)


def _parts(clips: Sequence[tuple[Clip, str]]) -> dict[str, str]:
    """The part of each recording, by its path, and of each speaker, as ``speaker NAME``; not of one in several."""
    found = defaultdict[str, set[str]](set)
    for clip, part in clips:
        found[_key(clip)[0]].add(part)
        found[f"speaker {_speaker(clip)}"].add(part)
    return {name: min(each) for name, each in found.items() if len(each) == 1}


def _speaker(clip: Clip) -> str:
    return clip.speaker or f"unknown {clip.recording}"


def _row(key: _Key, label: str, rater: str, speaker: str, part: str, target: str) -> dict[str, str]:
    start, end = ("" if time is None else f"{time:g}" for time in key[1:])
    where = {"file": key[0], "start": start, "end": end}
    return {**where, target: label, "rater": rater, "speaker": speaker, "split": part}


def _write(output: Path, rows: Sequence[Mapping[str, str]], target: str) -> None:
    names = ["file", *_TIMES, target, "rater", "speaker", "split"]
    with atomic_file(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(rows)
