"""A dataset in any layout, read to one table of labelled clips."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from emotions.bundle.manifest import RESERVED_NAMES
from emotions.errors import DataError, plain
from emotions.inputs.remote import fetch
from emotions.inputs.tables import seconds
from training.config.dataset import Column, DatasetConfig, Pattern
from training.config.targets import DimensionsTarget
from training.data.data_faults import Faults, some
from training.data.formats.entry import Entry
from training.data.label_faults import add_label_faults
from training.data.names import default_targets
from training.data.readers import column_or_pattern, read_entries
from training.data.recordings import recordings_by_name
from training.data.sources import Source, locate
from training.data.values import values_of

_HEAD_BYTES = 1 << 16
_STRUCTURE = frozenset({"start", "end", "split"})

_TWICE = "clip stands twice (remove one of the rows)"
_BAD_TIME = "start or end is not a number of seconds"
_NO_TIME_LEFT = "start is not before end, or is negative"


@dataclass(frozen=True)
class Clip:
    """One labelled piece of a recording.

    Attributes:
        file: where the recording lies; a URL where a table holds it.
        name: POSIX path relative to the dataset's folder, or absolute where the recording is elsewhere.
        start: first second of the clip in the recording; None means its beginning.
        end: last second of the clip; None means the recording's end.
        labels: target to label, only the targets that the clip has.
        recording: name of the recording that the clip was cut from.
        split: the part of a predefined split, as the dataset writes it.
        columns: every other column of the dataset.
        values: target of dimensions to its values on the target's range, NaN where one is missing; only the targets
            that the clip has a value of.
    """

    file: Path | str
    name: str
    start: float | None
    end: float | None
    labels: Mapping[str, str]
    speaker: str | None
    recording: str
    split: str | None
    columns: Mapping[str, str]
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Unique key of the clip in its dataset, as ASCII text."""
        return json.dumps([self.name, self.start, self.end])

    def __str__(self) -> str:
        """The name, printable, with the clip's times where it is a part of a recording."""
        times = "" if self.start is None and self.end is None else f" [{self.start or 0:g}-{self.end or '...'} s]"
        return plain(self.name) + times


@dataclass(frozen=True)
class ClipTable:
    """A dataset.

    Attributes:
        root: the folder that clip names are relative to.
        targets: names of the targets of labels; the first one is the main one.
        license: licence of the recordings, where the config has it.
        origins: what the ``speaker`` and the ``recording`` of a clip are taken from, in words.
        dimensions: the targets of dimensions.
    """

    root: Path
    clips: tuple[Clip, ...]
    targets: tuple[str, ...]
    license: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    dimensions: Mapping[str, DimensionsTarget] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.clips)

    def labels(self, target: str) -> tuple[str, ...]:
        """The labels of a target in output order: sorted by code point."""
        return tuple(sorted({clip.labels[target] for clip in self.clips if target in clip.labels}))

    def counts(self, target: str) -> dict[str, int]:
        """Clips per label of a target, in output order."""
        counted = Counter(clip.labels[target] for clip in self.clips if target in clip.labels)
        return {label: counted[label] for label in self.labels(target)}

    def select(self, indices: Iterable[int]) -> ClipTable:
        """The same dataset with only the clips at ``indices``."""
        return replace(self, clips=tuple(self.clips[index] for index in indices))

    def labelled_for(self, targets: Collection[str]) -> ClipTable:
        """The same dataset with the labels of ``targets`` alone; clips without any are left out."""
        kept = tuple(target for target in self.targets if target in targets)
        clips = (
            replace(clip, labels={name: clip.labels[name] for name in kept if name in clip.labels})
            for clip in self.clips
        )
        return replace(self, clips=tuple(clip for clip in clips if clip.labels), targets=kept)

    def check_labels(self) -> None:
        """Refuse a target with fewer than two classes, with a DataError."""
        for target in self.targets:
            labels = self.labels(target)
            if len(labels) < 2:
                found = f"all clips are {labels[0]!r}" if labels else "no clip has one"
                raise DataError(f"{self.root}: {target!r} needs at least two classes, {found}")
        for target, about in self.dimensions.items():
            for column, name in enumerate(about.dimensions):
                found_values = {clip.values[target][column] for clip in self.clips if target in clip.values}
                known = {value for value in found_values if not math.isnan(value)}
                if len(known) < 2:
                    found = f"all clips have {next(iter(known)):g}" if known else "no clip has one"
                    raise DataError(f"{self.root}: {target!r} needs values of {name!r} that differ, {found}")

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of labels and content, independent of the order, names and folder of the clips.

        Labels, speakers, split, times, sizes and the first 64 KiB of each recording count.
        """
        # In their order: a Parquet table is read forwards.
        heads = {file: _head(file) for file in dict.fromkeys(clip.file for clip in self.clips)}
        rows = sorted(
            json.dumps(
                [
                    *[heads[clip.file], clip.start, clip.end, dict(sorted(clip.labels.items())), clip.speaker],
                    *[clip.split, *([dict(sorted(clip.values.items()))] if self.dimensions else [])],
                ]
            )
            for clip in self.clips
        )
        return hashlib.sha256("\n".join([*self.targets, *self.dimensions, *rows]).encode()).hexdigest()


def _head(file: Path | str) -> str:
    try:
        if isinstance(file, str):
            content = fetch(file)
            return f"{len(content)}:{hashlib.sha256(content[:_HEAD_BYTES]).hexdigest()}"
        with file.open("rb") as stream:
            digest = hashlib.sha256(stream.read(_HEAD_BYTES)).hexdigest()
        return f"{file.stat().st_size}:{digest}"
    except OSError as error:
        raise DataError(f"{plain(str(file))}: cannot be read ({error.strerror or error})") from error


def read_clips(config: DatasetConfig, root: Path) -> ClipTable:
    """Read a dataset in any of the layouts.

    Args:
        config: the ``dataset`` block.
        root: folder that a relative ``config.path`` starts from.

    Raises:
        DataError: there is no dataset, or something in it is wrong; all faults at once, the first few by name.
    """
    faults = Faults()
    table = gather_clips(config, root, faults)
    faults.raise_for(str(table.root))
    table.check_labels()
    return table


def gather_clips(config: DatasetConfig, root: Path, faults: Faults) -> ClipTable:
    """Read a dataset as ``read_clips`` does, but leave out faulty clips.

    Args:
        config: the ``dataset`` block.
        root: folder that a relative ``config.path`` starts from.
        faults: takes the faults.
    """
    source = locate(config, root)
    entries = read_entries(source, config, faults)
    if not entries:
        faults.raise_for(str(source))
        raise DataError(f"{source}: holds no recordings")
    targets = _targets(config, source, entries)
    described = [(entry.name, entry.columns) for entry in entries]
    speakers = column_or_pattern(config.speaker, "speaker", described, faults)
    recordings = column_or_pattern(config.recording, "recording", described, faults)
    by_name, rule = recordings_by_name(
        entries, (targets or (config.target,))[0], segments=source.layout == "annotations"
    )
    made = [
        _clip(entry, (targets, config), speaker, recording or name, faults)
        for entry, speaker, recording, name in zip(entries, speakers, recordings, by_name, strict=True)
    ]
    clips = _unique([clip for clip in made if clip is not None], faults)
    add_label_faults(clips, targets, faults)
    origins = {"speaker": _origin(config.speaker, "speaker", speakers, "unknown")}
    origins["recording"] = _origin(config.recording, "recording", recordings, rule)
    return ClipTable(source.root, clips, targets, config.license, origins, config.dimensional)


def _origin(how: Column | Pattern | None, key: str, values: Sequence[str | None], otherwise: str) -> str:
    """What a property is taken from, in words."""
    if isinstance(how, Pattern):
        return f"the path, by the pattern {how.pattern}"
    if how is None and not any(values):
        return otherwise
    column = f"the column {(how.column if how else key)!r}"
    return column if all(values) or otherwise == "unknown" else f"{column}, else {otherwise}"


def _clip(
    entry: Entry,
    wanted: tuple[Sequence[str], DatasetConfig],
    speaker: str | None,
    recording: str,
    faults: Faults,
) -> Clip | None:
    columns, (targets, config) = entry.columns, wanted
    values = values_of(columns, config.dimensional, entry.name, faults)
    numbers = [column for about in config.dimensional.values() for column in about.dimensions]
    labels = {target: columns[target] for target in targets if target in columns}
    times = times_of(entry, faults)
    for target, allowed in config.stated_labels.items():
        if labels.get(target, allowed[0]) not in allowed:
            faults.add(f"{target} {labels[target]!r} is not one of the labels in dataset.targets", entry.name)
            return None
    if not labels and not values:
        faults.add(f"clip has no label (fill in {' or '.join([*targets, *numbers])}, or remove the row)", entry.name)
    if times is None or not (labels or values):
        return None
    taken = {*_STRUCTURE, *labels, *numbers}
    others = {name: value for name, value in columns.items() if name not in taken}
    return Clip(entry.file, entry.name, *times, labels, speaker, recording, columns.get("split"), others, values)


def times_of(entry: Entry, faults: Faults) -> tuple[float | None, float | None] | None:
    """First and last second of a clip; None where they cannot be, which is added to the faults."""
    try:
        start, end = (seconds(entry.columns[key]) if key in entry.columns else None for key in ("start", "end"))
    except ValueError:
        faults.add(_BAD_TIME, entry.name)
        return None
    if (start or 0.0) < 0 or (end is not None and end <= (start or 0.0)):
        faults.add(_NO_TIME_LEFT, entry.name)
        return None
    return start, end


def _unique(clips: Sequence[Clip], faults: Faults) -> tuple[Clip, ...]:
    seen: set[str] = set()
    for clip in clips:
        if clip.identity in seen:
            faults.add(_TWICE, clip.name)
        seen.add(clip.identity)
    return tuple({clip.identity: clip for clip in reversed(clips)}.values())[::-1]


def _targets(config: DatasetConfig, source: Source, entries: Sequence[Entry]) -> tuple[str, ...]:
    columns = sorted({column for entry in entries for column in entry.columns})
    found = [name for name in default_targets(config) if name in columns]
    targets = found if config.columns is None else config.columns
    numbers = [name for about in config.dimensional.values() for name in about.dimensions]
    missing = [name for name in (*targets, *numbers) if name not in columns]
    if missing or not (targets or numbers):
        lacking = some(repr(name) for name in missing or [config.target])
        there = ", ".join(columns) or "none"
        raise DataError(
            f"{source}: has no column {lacking} to learn; its columns: {there}; name one in dataset.targets"
        )
    for name in (*targets, *config.dimensional):
        if name in RESERVED_NAMES or "." in name:
            raise DataError(
                f"{source}: {name!r} cannot name a target, it is a column of prediction tables or has a dot; "
                "rename the column, or dataset.target"
            )
    return tuple(dict.fromkeys(targets))
