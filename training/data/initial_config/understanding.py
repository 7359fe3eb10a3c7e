"""What a folder of recordings says about itself, and the few things that have to be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotions.errors import DataError, plain
from emotions.files.from_here import from_here
from emotions.runtime.cores import available_cores
from training.config.dataset import as_dataset, as_origin
from training.data.checks.check import CheckReport, check_dataset
from training.data.clips import ClipTable, gather_clips
from training.data.data_faults import Faults, some
from training.data.formats.entry import Entry
from training.data.initial_config.recipe import initial_splits, initial_step, run_name
from training.data.initial_config.speaker_rule import SpeakerRule, speaker_rules
from training.data.names import labels_in
from training.data.readers import read_entries
from training.data.sources import locate
from training.data.split.inner_folds import inner_folds
from training.data.split.splits import split_clips
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.usable import usable
from training.data.waveforms.waveform_cache import WaveformCache

Ask = Callable[[str, Sequence[str]], int | None]
"""Asks for one of several answers; None where nobody can be asked, or none of them is right."""

_MOST_CLASSES = 50
_OFFERED = 5
_SHOWN = 12


@dataclass(frozen=True)
class Given:
    """What the command line says of a dataset.

    Attributes:
        target: column with the labels, or what the class folders are called.
        speaker: column of the speaker, or regular expression on the path with a group.
    """

    target: str | None = None
    speaker: str | None = None


_HOW_TO_SAY_WHO = (
    "who speaks is not known: say it with --speaker, a column, or a pattern for the path, "
    r"such as '/(\d\d)' for two digits that begin the file's name"
)


@dataclass(frozen=True)
class Understanding:
    """A dataset as it will be trained on.

    Attributes:
        report: its content and its faults.
        speakers: who speaks, and how that is known, in words.
        notes: what a user should know or may want to change.
        document: the pipeline file.
    """

    report: CheckReport
    speakers: str
    notes: tuple[str, ...]
    document: dict[str, Any]

    def __str__(self) -> str:
        report = self.report
        lines = [("clips", f"{report.clips}, {report.hours:.2f} h, {report.durations[1]:.1f} s each (median)")]
        lines += [(plain(target), _classes(counts)) for target, counts in report.labels.items()]
        lines += [("speakers", self.speakers), ("split", report.protocol)]
        bad = [(kind, names) for found in (report.bad, report.incomplete) for kind, names in found.items()]
        lines += [(kind, f"{len(names)}: {some(names)}") for kind, names in bad]
        if report.duplicates:
            lines.append(("duplicates", f"{len(report.duplicates)} groups of clips with the same samples"))
        lines += [("note", note) for note in self.notes]
        step = self.document["pipeline"][0]
        learn = step["learn_params"]
        lines.append(("recipe", f"{step['model']}, {learn['max_epoch']} epochs, batches of {learn['batch_size']}"))
        width = max(len(name) for name, _ in lines)
        return "\n".join(
            [
                plain(str(from_here(Path(report.where)))),
                *(f"  {name:<{width}}  {plain(value)}" for name, value in lines),
            ]
        )


def _classes(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{plain(label)} {count}" for label, count in [*counts.items()][:_SHOWN])
    more = len(counts) - _SHOWN
    return f"{len(counts)} classes: {shown}{f' and {more} more' if more > 0 else ''}"


def understand(path: Path, root: Path, given: Given, ask: Ask) -> Understanding:
    """Look at a dataset, decode it, and make a pipeline file for it.

    Args:
        path: its folder or file, absolute or relative to ``root``.
        root: folder that the pipeline file will be run in.
        given: what is known.
        ask: asked for what cannot be known.

    Raises:
        DataError: there is no dataset, or training would refuse it: all faults at once.
    """
    if not (root / path).exists():
        raise DataError(f"{path}: is not there; name the folder of your recordings, or a table of them")
    raw: dict[str, Any] = {"path": str(path)}
    raw |= _target(raw, root, given, ask)
    raw["speaker"] = _as_raw(given.speaker)
    table = _gathered(raw, root)
    speakers, found, notes = _speakers(table, raw, given, ask)
    raw |= found
    segments = sum(clip.start is not None for clip in table.clips)
    notes += (f"{segments} clips are segments of recordings, from start to end in seconds",) if segments else ()
    facts = WaveformCache().prepare(table.clips, available_cores())
    raw["split"], note = _split(_gathered(raw, root), facts)
    raw = {key: value for key, value in raw.items() if value is not None}
    report = check_dataset(as_dataset(raw), root)
    if report.faults:
        raise DataError("\n  ".join([f"{report.where}: training refuses this dataset as it is", *report.faults]))
    durations = [fact.duration_sec for fact in facts if not fact.error]
    step = initial_step(run_name(root / path), raw, durations)
    document = {"pipeline": [step], "load_dataset_workers_num": 0, "seed": 0}
    return Understanding(report, speakers, (*notes, *filter(None, [note])), document)


def _gathered(raw: dict[str, Any], root: Path) -> ClipTable:
    """The clips that a ``dataset`` block names. Raises DataError for all faults at once."""
    faults = Faults()
    table = gather_clips(as_dataset({key: value for key, value in raw.items() if value is not None}), root, faults)
    faults.raise_for(str(table.root))
    table.check_labels()
    return table


def _target(raw: dict[str, Any], root: Path, given: Given, ask: Ask) -> dict[str, Any]:
    """The keys that name what is learnt, where the dataset's own names do not."""
    config = as_dataset(raw)
    source = locate(config, root)
    if source.layout == "folders":
        return {} if given.target is None else {"target": given.target}
    if given.target is not None:
        return {"targets": [given.target]}
    entries = read_entries(source, config, Faults())
    if not entries or labels_in({column for entry in entries for column in entry.columns}, config):
        return {}
    columns = _label_columns(entries)
    chosen = 0 if len(columns) == 1 else ask("Which column holds the labels?", columns[:_OFFERED])
    if chosen is None:
        offered = f"it may be {some(columns)}: say which with --target COLUMN" if columns else "no column may be one"
        raise DataError(f"{source}: which column holds the labels is not known; {offered}")
    return {"targets": [columns[chosen]]}


def _label_columns(entries: Sequence[Entry]) -> list[str]:
    """Columns with some values that each stand for several clips, the fewest values first."""
    values: dict[str, set[str]] = {}
    for entry in entries:
        for column, value in entry.columns.items():
            values.setdefault(column, set()).add(value)
    most = min(_MOST_CLASSES, len(entries) // 2)
    found = {column: len(each) for column, each in values.items() if 2 <= len(each) <= most}
    return sorted(found, key=lambda column: (found[column], column))


def _as_raw(speaker: str | None) -> dict[str, str] | None:
    origin = as_origin(speaker, "--speaker")
    return None if origin is None else origin.model_dump()


def _speakers(
    table: ClipTable, raw: Mapping[str, Any], given: Given, ask: Ask
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Who speaks in words, the keys of the dataset that say so, and what is to be noted."""
    known = {clip.speaker for clip in table.clips if clip.speaker}
    if known:
        return f"{len(known)}, by {table.origins['speaker']}", {}, ()
    target = table.targets[0]
    rules = speaker_rules([clip.name for clip in table.clips], [clip.labels.get(target, "") for clip in table.clips])[
        :_OFFERED
    ]
    if given.speaker is not None or not rules:
        return "unknown", {}, (_HOW_TO_SAY_WHO,)
    chosen = 0 if rules[0].sure else ask("What tells the speakers apart?", [str(rule) for rule in rules])
    if chosen is not None:
        return _by_rule(rules[chosen])
    return _together(rules[0], raw)


def _by_rule(rule: SpeakerRule) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    return f"{len(rule.values)}, by {rule.words}", {"speaker": {"pattern": rule.pattern}}, ()


def _together(rule: SpeakerRule, raw: Mapping[str, Any]) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Clips that a doubtful rule finds alike stay together, but are not called those of one speaker."""
    note = f"perhaps {rule} is the speaker: then give --speaker '{rule.pattern}'; until then it counts as the recording"
    return "unknown", {"recording": raw.get("recording") or {"pattern": rule.pattern}}, (note,)


def _split(table: ClipTable, facts: Sequence[ClipInfo]) -> tuple[dict[str, Any] | None, str]:
    """The first split that the clips allow, None for a predefined one, and what is to be noted."""
    left, _ = usable(table, facts)
    if all(clip.split for clip in left.clips):
        return None, ""
    refused: DataError | None = None
    for split, note in initial_splits(len(left)):
        config = as_dataset({"split": split}).split
        try:
            cut = split_clips(left, config, 0)
            if config.val_folds:
                inner_folds(left, cut, config.val_folds, 0)
        except DataError as error:
            refused = refused or error
        else:
            return split, note
    raise DataError(str(refused))
