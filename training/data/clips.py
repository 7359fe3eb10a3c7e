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
from typing import Any, TypeVar

from emotions.bundle.manifest import RESERVED_NAMES
from emotions.errors import DataError, plain
from emotions.inputs.remote import fetch
from training.config.dataset import Column, DatasetConfig, Pattern
from training.config.targets import DimensionsTarget, RatersTarget
from training.data.clip import Clip
from training.data.clip_of_entry import clip_of, times_of, with_majorities
from training.data.data_faults import Faults, some
from training.data.formats.entry import Entry
from training.data.label_faults import add_label_faults
from training.data.names import default_targets
from training.data.ratings import merged, raters_of
from training.data.readers import column_or_pattern, read_entries
from training.data.recordings import recordings_by_name
from training.data.sources import Source, locate

__all__ = ["Clip", "ClipTable", "gather_clips", "read_clips", "times_of"]

T = TypeVar("T")
_HEAD_BYTES = 1 << 16

_TWICE = "clip stands twice (remove one of the rows)"


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

    @cached_property
    def soft(self) -> tuple[str, ...]:
        """The targets of which distributions over the labels are known."""
        return tuple(target for target in self.targets if any(target in clip.shares for clip in self.clips))

    def labels(self, target: str) -> tuple[str, ...]:
        """The labels of a target in output order, sorted by code point; those that no clip has alone included."""
        shared = {label for clip in self.clips for label in clip.shares.get(target, ())}
        return tuple(sorted(shared | {*self.own_labels(target)}))

    def own_labels(self, target: str) -> tuple[str, ...]:
        """The labels of a target that are a clip's own: where raters differ, that of the majority."""
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
            replace(
                clip, labels=_some(clip.labels, kept), shares=_some(clip.shares, kept), raters=_some(clip.raters, kept)
            )
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
                    *([_sorted(clip.shares), _sorted(clip.raters)] if self.soft else []),
                ]
            )
            for clip in self.clips
        )
        return hashlib.sha256("\n".join([*self.targets, *self.dimensions, *rows]).encode()).hexdigest()


def _some(known: Mapping[str, T], names: Sequence[str]) -> dict[str, T]:
    return {name: known[name] for name in names if name in known}


def _sorted(known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _sorted(each) if isinstance(each, Mapping) else each for name, each in sorted(known.items())}


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
    rated = raters_of(entries, config)
    if rated:
        _check_raters(source, entries, rated)
        entries = merged(entries, rated, config, faults)
    targets = _targets(config, source, entries)
    described = [(entry.name, entry.columns) for entry in entries]
    speakers = column_or_pattern(config.speaker, "speaker", described, faults)
    recordings = column_or_pattern(config.recording, "recording", described, faults)
    by_name, rule = recordings_by_name(
        entries, (targets or (config.target,))[0], segments=source.layout == "annotations"
    )
    made = [
        clip_of(entry, (targets, config), speaker, recording or name, faults)
        for entry, speaker, recording, name in zip(entries, speakers, recordings, by_name, strict=True)
    ]
    clips = with_majorities(_unique([clip for clip in made if clip is not None], faults), targets)
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


def _unique(clips: Sequence[Clip], faults: Faults) -> tuple[Clip, ...]:
    seen: set[str] = set()
    for clip in clips:
        if clip.identity in seen:
            faults.add(_TWICE, clip.name)
        seen.add(clip.identity)
    return tuple({clip.identity: clip for clip in reversed(clips)}.values())[::-1]


def _check_raters(source: Source, entries: Sequence[Entry], rated: Mapping[str, RatersTarget]) -> None:
    column = next(iter(rated.values())).raters
    columns = sorted({name for entry in entries for name in entry.columns})
    if column not in columns:
        there = ", ".join(columns) or "none"
        raise DataError(
            f"{source}: has no column {column!r} of raters; its columns: {there}; name it in dataset.targets"
        )


def _targets(config: DatasetConfig, source: Source, entries: Sequence[Entry]) -> tuple[str, ...]:
    columns = sorted({column for entry in entries for column in (*entry.columns, *entry.votes)})
    found = [name for name in default_targets(config) if name in columns]
    targets = found if config.named is None else config.named
    numbers = config.number_columns
    missing = [name for name in (*targets, *numbers) if name not in {*columns, *config.shared}]
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
