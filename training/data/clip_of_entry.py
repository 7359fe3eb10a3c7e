"""A clip of an entry of a dataset: its labels, distributions, values and times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from emotions.inputs.tables import seconds
from training.config.dataset import DatasetConfig
from training.data.clip import Clip
from training.data.data_faults import Faults
from training.data.formats.entry import Entry
from training.data.ratings import majorities, shares_of_columns, shares_of_votes
from training.data.values import values_of

_STRUCTURE = frozenset({"start", "end", "split"})
_BAD_TIME = "start or end is not a number of seconds"
_NO_TIME_LEFT = "start is not before end, or is negative"


def clip_of(
    entry: Entry,
    wanted: tuple[Sequence[str], DatasetConfig],
    speaker: str | None,
    recording: str,
    faults: Faults,
) -> Clip | None:
    """A clip of an entry; None where it cannot be used, which is added to the faults.

    Args:
        entry: the clip as its dataset names it.
        wanted: the targets of labels, and the config.
        speaker: who speaks, where that is known.
        recording: what the clip was cut from.
        faults: takes what is wrong.
    """
    columns, (targets, config) = entry.columns, wanted
    values = values_of(columns, config.dimensional, entry.name, faults)
    shares = _shares(entry, targets, config, faults)
    labels = {target: columns[target] for target in targets if target in columns and target not in config.shared}
    times = times_of(entry, faults)
    for target, allowed in config.stated_labels.items():
        other = next(
            (label for label in [*shares.get(target, ()), labels.get(target)] if label not in {*allowed, None}), None
        )
        if other is not None:
            faults.add(f"{target} {other!r} is not one of the labels in dataset.targets", entry.name)
            return None
    known = labels or shares or values
    if not known:
        fill = " or ".join([*(name for name in targets if name not in config.shared), *config.number_columns])
        faults.add(f"clip has no label{_of_raters(config)} (fill in {fill}, or remove the row)", entry.name)
    if times is None or not known:
        return None
    taken = {*_STRUCTURE, *labels, *config.number_columns}
    others = {name: value for name, value in columns.items() if name not in taken}
    raters = {target: sum(votes.values()) for target, votes in entry.votes.items()}
    part, soft = columns.get("split"), {**shares}
    return Clip(
        entry.file, entry.name, *times, labels, speaker, recording, part, others, values, shares=soft, raters=raters
    )


def _shares(entry: Entry, targets: Sequence[str], config: DatasetConfig, faults: Faults) -> dict[str, dict[str, float]]:
    """The distributions of a clip's labels, by its raters' rows and its columns of shares."""
    found = {target: shares_of_votes(votes) for target, votes in entry.votes.items() if target in targets}
    for target, about in config.shared.items():
        if shares := shares_of_columns(entry.columns, target, about, entry.name, faults):
            found[target] = shares
    return found


def _of_raters(config: DatasetConfig) -> str:
    """Where raters label: that none of them did."""
    return ": nobody rated it" if config.rated or config.shared else ""


def with_majorities(clips: tuple[Clip, ...], targets: Sequence[str]) -> tuple[Clip, ...]:
    """Clips with one label for each distribution (``ratings.majorities``).

    Args:
        clips: the clips.
        targets: the targets of labels.
    """
    for target in targets:
        rated = [clip for clip in clips if target in clip.shares]
        found = iter(majorities([clip.shares[target] for clip in rated]))
        clips = tuple(
            replace(clip, labels={**clip.labels, target: next(found)}) if target in clip.shares else clip
            for clip in clips
        )
    return clips


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
