"""Check of a dataset: its content, what training refuses, and what makes its figures unreliable."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from emotions.errors import DataError, plain
from emotions.runtime.cores import available_cores
from training.config.dataset import DatasetConfig
from training.data.checks.findings import Finding, findings
from training.data.checks.leakage import Leaks, audit
from training.data.clips import Clip, ClipTable, gather_clips
from training.data.data_faults import Faults, some
from training.data.split.splits import split_clips
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.speech_clips import speech_clips, without_speech
from training.data.waveforms.usable import usable
from training.data.waveforms.waveform_cache import WaveformCache

T = TypeVar("T", int, str)

CLIPPED_SHARE = 0.001
"""A clip is clipped when more than this share of its samples is at full scale."""

_EXAMPLES = 3
_SECTIONS = {"too_short": "too short", "silent": "silent"}


@dataclass(frozen=True)
class CheckReport:
    """Content and faults of a dataset.

    Attributes:
        clips: number of labelled clips whose recording exists.
        hours: total duration of the clips that can be decoded.
        recordings: clips per recording.
        origins: what speakers and recordings are taken from, in words.
        examples: some clips, each with what counts as its speaker and recording.
        rates, channels: clips per sampling rate (Hz) and per number of channels of the recordings.
        durations: seconds of the shortest, the median and the longest clip.
        bad: kind (``unreadable``, ``silent``, ``too short``) to clips that cannot be used, with the reason.
        incomplete: kind (``truncated``, ``damaged``) to clips of which a part is missing; training uses what there is.
        clipped: clips with more than ``CLIPPED_SHARE`` of their samples at full scale.
        duplicates: groups of clips with the same samples.
        speech: the segments of speech that training learns instead of the clips; empty where it learns all of them.
        protocol: how the clips are split for training; empty where they cannot be.
        faults: what training refuses: missing clips, rows without a label, a split that is not possible, leaks.
        warnings: problems that do not prevent training but make its figures unreliable; training logs them too.
    """

    where: str
    clips: int
    hours: float
    labels: Mapping[str, Mapping[str, int]]
    speakers: Mapping[str, int]
    recordings: Mapping[str, int]
    origins: Mapping[str, str]
    examples: Sequence[str]
    rates: Mapping[int, int]
    channels: Mapping[int, int]
    durations: tuple[float, float, float]
    bad: Mapping[str, Sequence[str]]
    incomplete: Mapping[str, Sequence[str]]
    clipped: Sequence[str]
    duplicates: Sequence[Sequence[str]]
    protocol: str
    speech: str
    faults: Sequence[str]
    warnings: Sequence[Finding]

    def __str__(self) -> str:
        rows = [*self._holdings(), *self._troubles()]
        width = max(len(name) for name, _ in rows)
        return "\n".join([self.where, *(f"  {name:<{width}}  {value}".rstrip() for name, value in rows)])

    def _holdings(self) -> list[tuple[str, str]]:
        shortest, middle, longest = self.durations
        rows = [("clips", str(self.clips)), ("hours", f"{self.hours:.2f}")]
        rows += [(target, _counted(counts)) for target, counts in self.labels.items()]
        rows.append(("speakers", f"{len(self.speakers)}: {_counted(self.speakers)}" if self.speakers else "unknown"))
        if self.speakers:
            rows.append(("taken from", self.origins.get("speaker", "")))
        rows.append(("recordings", f"{len(self.recordings)}: {self.origins.get('recording', '')}"))
        rows += [("such as", example) for example in self.examples]
        rows.append(("sample rates", _counted(self.rates, " Hz")))
        rows.append(("channels", _counted(self.channels)))
        rows.append(("duration", f"{shortest:.2f} s shortest, {middle:.2f} s median, {longest:.2f} s longest"))
        more = {"speech": self.speech, "split": self.protocol}
        return [*rows, *((name, told) for name, told in more.items() if told)]

    def _troubles(self) -> list[tuple[str, str]]:
        kinds = (*self.bad.items(), *self.incomplete.items())
        rows = [(kind, f"{len(names)}: {some(names)}") for kind, names in kinds]
        if self.clipped:
            rows.append(("clipped", f"{len(self.clipped)}: {some(self.clipped)}"))
        rows += [("duplicates", " = ".join(group)) for group in self.duplicates[:5]]
        if len(self.duplicates) > 5:
            rows.append(("duplicates", f"and {len(self.duplicates) - 5} more groups"))
        rows += [("fault", line) for line in self.faults]
        rows += [("warning", _with_names(each)) for each in self.warnings]
        if self.faults:
            rows.append(("verdict", "training refuses this dataset: mend its faults"))
        return rows or [("verdict", "nothing wrong")]


def check_dataset(config: DatasetConfig, root: Path, seed: int = 0, *, split: bool = True) -> CheckReport:
    """Read and decode a dataset, and report on it; a bad file is listed, and the check goes on.

    Args:
        config: the ``dataset`` block.
        root: folder that a relative ``config.path`` starts from.
        seed: of the split.
        split: whether a training splits it, so that it has to be possible.

    Raises:
        DataError: there is no dataset, or nothing in it names a target.
    """
    faults, cache = Faults(), WaveformCache()
    table = gather_clips(config, root, faults)
    facts = cache.prepare(table.clips, available_cores())
    trial = _Trial(faults.lines()) if faults else _tried(table, facts, config, seed, cache, split=split)
    return _report(table, facts, trial)


@dataclass
class _Trial:
    """What a training does with a dataset before it trains: what it refuses, its split, what it suspects."""

    faults: Sequence[str] = ()
    protocol: str = ""
    suspicions: Sequence[Finding] = ()
    silent: Sequence[str] = ()
    speech: str = ""


def _tried(
    table: ClipTable, facts: Sequence[ClipInfo], config: DatasetConfig, seed: int, cache: WaveformCache, *, split: bool
) -> _Trial:
    """Try a dataset by a training's own steps."""
    trial = _Trial()
    try:
        table.check_labels()
        left, known = usable(table, facts)
        if config.segments == "speech":
            trial.silent = [str(clip) for clip in without_speech(left, known)]
            left, known = usable(*speech_clips(left, known, available_cores()))
            trial.speech = _speech(known)
        if split:
            parts = split_clips(left, config.split, seed)
            trial.protocol = parts.protocol
            leaks = audit(left, known, [parts], config, cache)
            trial.suspicions = _suspicions(leaks)
            leaks.raise_for(str(table.root))
    except DataError as error:
        trial.faults = ["; ".join(line.strip() for line in str(error).splitlines())]
    return trial


def _speech(segments: Sequence[ClipInfo]) -> str:
    seconds = [segment.duration_sec for segment in segments]
    return f"{len(seconds)} segments, {sum(seconds) / 3600:.2f} h, {median(seconds):.2f} s median"


def _suspicions(leaks: Leaks) -> list[Finding]:
    return [Finding(leaks.suspicion(), tuple(leaks.found["voice"]))] if leaks.found["voice"] else []


def _report(table: ClipTable, facts: Sequence[ClipInfo], trial: _Trial) -> CheckReport:
    decoded = [fact for fact in facts if fact.rate]
    seconds = sorted(fact.duration_sec for fact in decoded) or [0.0]
    pairs = list(zip(table.clips, facts, strict=True))
    return CheckReport(
        where=str(table.root),
        clips=len(table),
        hours=sum(seconds) / 3600,
        labels={target: table.counts(target) for target in table.targets},
        speakers=_count(clip.speaker for clip in table.clips if clip.speaker),
        recordings=_count(clip.recording for clip in table.clips),
        origins=table.origins,
        examples=_examples(table),
        rates=_count(fact.rate for fact in decoded),
        channels=_count(fact.channels for fact in decoded),
        durations=(seconds[0], median(seconds), seconds[-1]),
        bad={**_bad(pairs), **({"no speech": trial.silent} if trial.silent else {})},
        incomplete=_incomplete(pairs),
        clipped=[str(clip) for clip, fact in pairs if fact.clipped > CLIPPED_SHARE],
        duplicates=_duplicates(pairs),
        protocol=trial.protocol,
        speech=trial.speech,
        faults=trial.faults,
        warnings=[*findings(table, facts), *trial.suspicions],
    )


def _examples(table: ClipTable) -> list[str]:
    """A clip of each of the first classes, with what counts as its speaker and recording."""
    first = {clip.labels.get(next(iter(table.targets), ""), ""): clip for clip in reversed(table.clips)}
    return [
        f"{clip}: speaker {plain(clip.speaker or 'unknown')}, recording {plain(clip.recording)}"
        for _, clip in sorted(first.items())[:_EXAMPLES]
    ]


def _with_names(finding: Finding) -> str:
    return f"{finding.text}; {len(finding.clips)}: {some(finding.clips)}" if finding.clips else finding.text


def _counted(counts: Mapping[str, int] | Mapping[int, int], unit: str = "") -> str:
    return ", ".join(f"{plain(str(name))}{unit} ({count})" for name, count in counts.items()) or "none"


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
