"""Check of a dataset: its content, and everything that prevents or impairs training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from emotions.runtime.session import available_cores
from training.config.dataset import DatasetConfig
from training.data.clips import Clip, ClipTable, gather_clips
from training.data.data_faults import Faults, printable, some
from training.data.waveform_cache import ClipInfo, WaveformCache

T = TypeVar("T", int, str)

CLIPPED_SHARE = 0.001
"""A clip is clipped when more than this share of its samples is at full scale."""

_SECTIONS = {"too_short": "too short", "silent": "silent"}


@dataclass(frozen=True)
class CheckReport:
    """Content and faults of a dataset.

    Attributes:
        clips: number of labelled clips whose recording exists.
        hours: total duration of the clips that can be decoded.
        rates, channels: clips per sampling rate (Hz) and per number of channels of the recordings.
        durations: seconds of the shortest, the median and the longest clip.
        bad: kind (``unreadable``, ``silent``, ``too short``) to clips that cannot be used, with the reason.
        incomplete: kind (``truncated``, ``damaged``) to clips of which a part is missing; training uses what there is.
        clipped: clips with more than ``CLIPPED_SHARE`` of their samples at full scale.
        duplicates: groups of clips with the same samples.
        faults: faults of the labels: missing clips, rows without a label, ...
        warnings: problems that do not prevent training but make its figures unreliable.
    """

    where: str
    clips: int
    hours: float
    labels: Mapping[str, Mapping[str, int]]
    speakers: Mapping[str, int]
    rates: Mapping[int, int]
    channels: Mapping[int, int]
    durations: tuple[float, float, float]
    bad: Mapping[str, Sequence[str]]
    incomplete: Mapping[str, Sequence[str]]
    clipped: Sequence[str]
    duplicates: Sequence[Sequence[str]]
    faults: Sequence[str]
    warnings: Sequence[str]

    def __str__(self) -> str:
        rows = [*self._holdings(), *self._troubles()]
        width = max(len(name) for name, _ in rows)
        return "\n".join([self.where, *(f"  {name:<{width}}  {value}".rstrip() for name, value in rows)])

    def _holdings(self) -> list[tuple[str, str]]:
        shortest, middle, longest = self.durations
        rows = [("clips", str(self.clips)), ("hours", f"{self.hours:.2f}")]
        rows += [(target, _counted(counts)) for target, counts in self.labels.items()]
        rows.append(("speakers", f"{len(self.speakers)}: {_counted(self.speakers)}" if self.speakers else "unknown"))
        rows.append(("sample rates", _counted(self.rates, " Hz")))
        rows.append(("channels", _counted(self.channels)))
        rows.append(("duration", f"{shortest:.2f} s shortest, {middle:.2f} s median, {longest:.2f} s longest"))
        return rows

    def _troubles(self) -> list[tuple[str, str]]:
        kinds = (*self.bad.items(), *self.incomplete.items())
        rows = [(kind, f"{len(names)}: {some(names)}") for kind, names in kinds]
        if self.clipped:
            rows.append(("clipped", f"{len(self.clipped)}: {some(self.clipped)}"))
        rows += [("duplicates", " = ".join(group)) for group in self.duplicates[:5]]
        if len(self.duplicates) > 5:
            rows.append(("duplicates", f"and {len(self.duplicates) - 5} more groups"))
        rows += [("fault", line) for line in self.faults]
        rows += [("warning", line) for line in self.warnings]
        return rows or [("verdict", "nothing wrong")]


def check_path(path: Path, layout: str = "auto") -> str:
    """Check the dataset at a path; the report as aligned text.

    Args:
        path: a folder or a file, as ``dataset.path`` takes it.
        layout: value of ``dataset.format``.

    Raises:
        DataError: there is no dataset at ``path``, or nothing in it names a target.
    """
    faults = Faults()
    config = DatasetConfig().model_copy(update={"path": str(path), "format": layout})
    table = gather_clips(config, Path.cwd(), faults)
    return str(check_dataset(table, WaveformCache(), faults))


def check_dataset(table: ClipTable, cache: WaveformCache, faults: Faults | None = None) -> CheckReport:
    """Decode every clip of a dataset and report on it; a bad file is listed, and the check goes on.

    Args:
        table: the clips.
        cache: keeps the decoded clips for training.
        faults: faults found when the table was read.
    """
    facts = cache.prepare(table.clips, available_cores())
    decoded = [fact for fact in facts if fact.rate]
    seconds = sorted(fact.duration_sec for fact in decoded) or [0.0]
    pairs = list(zip(table.clips, facts, strict=True))
    return CheckReport(
        where=str(table.root),
        clips=len(table),
        hours=sum(seconds) / 3600,
        labels={target: table.counts(target) for target in table.targets},
        speakers=_count(clip.speaker for clip in table.clips if clip.speaker),
        rates=_count(fact.rate for fact in decoded),
        channels=_count(fact.channels for fact in decoded),
        durations=(seconds[0], median(seconds), seconds[-1]),
        bad=_bad(pairs),
        incomplete=_incomplete(pairs),
        clipped=[str(clip) for clip, fact in pairs if fact.clipped > CLIPPED_SHARE],
        duplicates=_duplicates(pairs),
        faults=faults.lines() if faults else [],
        warnings=list(_warnings(table, pairs)),
    )


def _counted(counts: Mapping[str, int] | Mapping[int, int], unit: str = "") -> str:
    return ", ".join(f"{printable(str(name))}{unit} ({count})" for name, count in counts.items()) or "none"


def _count(values: Iterable[T]) -> dict[T, int]:
    return dict(sorted(Counter(values).items()))


def _bad(pairs: Sequence[tuple[Clip, ClipInfo]]) -> dict[str, list[str]]:
    bad: defaultdict[str, list[str]] = defaultdict(list)
    for clip, fact in pairs:
        if fact.error:
            kind = _SECTIONS.get(str(fact.error_code), "unreadable")
            bad[kind].append(f"{clip} ({fact.error})")
    return dict(bad)


def _incomplete(pairs: Sequence[tuple[Clip, ClipInfo]]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for clip, fact in pairs:
        for warning in fact.warnings if not fact.error else ():
            kind, _, message = warning.partition(": ")
            found[kind].append(f"{clip} ({message})")
    return dict(found)


def _duplicates(pairs: Sequence[tuple[Clip, ClipInfo]]) -> list[list[str]]:
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for clip, fact in pairs:
        if fact.sha256:
            alike[fact.sha256].append(str(clip))
    return [names for names in alike.values() if len(names) > 1]


def _warnings(table: ClipTable, pairs: Sequence[tuple[Clip, ClipInfo]]) -> Iterator[str]:
    without = sum(not clip.speaker for clip in table.clips)
    if 0 < without < len(table.clips):
        yield f"{without} clips have no speaker: fill them in, or set dataset.split.by to 'recording'"
    if without == len(table.clips):
        yield "speakers are unknown, so splits are by recording: give dataset.speaker a column or a pattern"
    for target in table.targets:
        if len(table.labels(target)) < 2:
            yield f"{target} has fewer than two classes"
        for label in table.labels(target):
            who = {clip.speaker for clip in table.clips if clip.labels.get(target) == label}
            if len(who) == 1 and None not in who:
                yield f"{target} {label!r} has clips of one speaker only: it cannot be learnt and tested"
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for clip, fact in pairs:
        labels[fact.sha256].add(str(sorted(clip.labels.items())))
    contrary = sum(len(each) > 1 for sha256, each in labels.items() if sha256)
    if contrary:
        yield f"{contrary} groups of duplicates have labels that contradict each other"
