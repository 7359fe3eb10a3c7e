"""The columns of a dataset by the names that a config and people give them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from emotions.inputs.columns import plain_name, renamed, time_columns
from training.config.dataset import Column, DatasetConfig
from training.data.formats.entry import SPLIT_NAMES, Entry

_STATE = "state"
_LABELS = frozenset({"label", "labels", "class", "category", "emo", "emotions", "emotion_label", "emotion_class"})
_SPEAKERS = frozenset({"speaker_id", "speakerid", "speaker_name", "spk", "spk_id", "spkid", "spkr"})
_RATERS = frozenset({"rater_id", "raterid", "annotator", "annotator_id", "worker", "worker_id"})
_PARTS = frozenset({"partition", "subset", "set"})
_PROPERTIES = ("speaker", "recording", "split", "sentence", "text", "start", "end")


def default_targets(config: DatasetConfig) -> list[str]:
    """The columns that a dataset is asked for: those that the config names, else its target and ``state``."""
    if config.targets is None:
        return [*dict.fromkeys([config.target, _STATE])]
    return [*(config.columns or ()), *config.number_columns]


def labels_in(columns: Collection[str], config: DatasetConfig) -> bool:
    """Whether a table has a column to learn.

    Args:
        columns: the table's columns.
        config: names the targets.
    """
    names = {renamed(columns, default_targets(config)).get(name, name) for name in columns}
    return bool(names & {*default_targets(config)}) or (config.targets is None and len(_alike(columns, _LABELS)) == 1)


def with_known_names(entries: Sequence[Entry], config: DatasetConfig) -> list[Entry]:
    """Entries whose columns have the names that the config asks for.

    ``EMOTION`` is ``emotion``, ``Speaker ID`` or ``spk`` is ``speaker``, ``partition`` is ``split`` where it holds
    parts of one, ``Begin (s)`` and ``End (s)`` are ``start`` and ``end``, ``annotator`` is ``rater``, and ``label`` or
    ``class`` is the target where nothing else is. Only where one column means it.

    Args:
        entries: the clips.
        config: names targets and columns.
    """
    columns = [*dict.fromkeys(column for entry in entries for column in entry.columns)]
    origins = (config.speaker, config.recording, config.sentence)
    named = [origin.column for origin in origins if isinstance(origin, Column)]
    by = [config.split.by] if config.split.by else []
    raters = [about.raters for about in config.rated.values()]
    names = renamed(columns, [*named, *raters, *default_targets(config), *by, *_PROPERTIES])
    names = {**time_columns(columns), **names}
    meant = {*columns, *names.values()}
    left = [column for column in columns if column not in names and column not in named]
    if "speaker" not in meant and config.speaker is None:
        names.update(_only(left, _SPEAKERS, "speaker"))
    if "split" not in meant:
        names.update(_only([name for name in left if _are_parts(entries, name)], _PARTS, "split"))
    if config.targets is None and not meant & {*default_targets(config)}:
        names.update(_only(left, _LABELS, config.target))
    if config.targets is None and "rater" not in meant:
        names.update(_only(left, _RATERS, "rater"))
    if len(config.rated) == 1 and not meant & {*config.rated}:
        names.update(_only([name for name in left if name not in raters], _LABELS, next(iter(config.rated))))
    if not names:
        return [*entries]
    return [replace(entry, columns=_renamed(entry.columns, names)) for entry in entries]


def _renamed(columns: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {names.get(column, column): value for column, value in columns.items()}


def _alike(columns: Iterable[str], names: Collection[str]) -> list[str]:
    return [column for column in columns if plain_name(column) in names]


def _only(columns: Iterable[str], names: Collection[str], meaning: str) -> dict[str, str]:
    found = _alike(columns, names)
    return {found[0]: meaning} if len(found) == 1 else {}


def _are_parts(entries: Sequence[Entry], column: str) -> bool:
    return all(entry.columns.get(column, "").lower() in SPLIT_NAMES for entry in entries)
