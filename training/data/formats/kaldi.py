"""The layout of Kaldi: a folder with ``wav.scp``, and files that map an utterance to its speaker, label and text.

A line of ``wav.scp`` that is a command (it ends in ``|``) is refused: nothing from a dataset is ever run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emotions.errors import DataError
from emotions.inputs.csv_tables import bounded_lines
from emotions.inputs.locate import locate_recording
from emotions.inputs.tables import MAX_ROWS
from emotions.inputs.text_encoding import text_encoding
from training.data.data_faults import Faults
from training.data.formats.entry import MISSING, Entry, entry_of

SCRIPT = "wav.scp"
"""Name of the file that names the recordings."""

_COMMAND = "recording is made by a command, which is never run (write it to a file, and name that in wav.scp)"
_NO_RECORDING = "segment of a recording that wav.scp does not name"
_NO_TIMES = "line of segments is not: utterance, recording, start and end in seconds"
_LABELS = ("utt2emotion", "utt2emo", "utt2label", "utt2class", "emotion", "emo", "label", "labels")
_NO_PROPERTY = frozenset({"utt2spk", "utt2dur", "utt2num_frames", "utt2uniq", "spk2utt"})
_PARENTS = 3
"""So many folders above that of ``wav.scp`` are tried for its relative paths, which start from the recipe's."""


def read_kaldi(root: Path, parts: Sequence[tuple[Path, str | None]], target: str, faults: Faults) -> Iterator[Entry]:
    """The clips of data folders.

    Args:
        root: the dataset's folder, which the names of clips are relative to.
        parts: the data folders, each with the part of a split that it holds.
        target: column that the labels fill: of ``utt2emotion`` and the like, or of a ``text`` that holds labels.
        faults: takes the faults of single clips, which are left out.
    """
    for folder, split in parts:
        properties = _properties(folder, target)
        recordings = _located(folder, faults)
        for utterance in _utterances(folder, recordings, faults):
            columns = {name: values[utterance.name] for name, values in properties.items() if utterance.name in values}
            columns |= {**utterance.columns, "utterance": utterance.name, **({"split": split} if split else {})}
            yield entry_of(root, utterance.file, columns)


@dataclass(frozen=True)
class _Utterance:
    name: str
    file: Path
    columns: Mapping[str, str]


def _located(folder: Path, faults: Faults) -> dict[str, Path | None]:
    """The file of each recording; None for one that cannot be used."""
    found: dict[str, Path | None] = {}
    for name, place in _mapping(folder / SCRIPT).items():
        found[name] = None
        if place.endswith("|") or place.startswith("|"):
            faults.add(_COMMAND, name)
            continue
        tried = (locate_recording(each, place) for each in (folder, *folder.absolute().parents[:_PARENTS]))
        found[name] = next((file for file in tried if file is not None), None)
        if found[name] is None:
            faults.add(MISSING, f"{name} ({place})")
    return found


def _utterances(folder: Path, recordings: Mapping[str, Path | None], faults: Faults) -> Iterator[_Utterance]:
    if not (folder / "segments").is_file():
        yield from (_Utterance(name, file, {}) for name, file in recordings.items() if file is not None)
        return
    for name, line in _mapping(folder / "segments").items():
        recording, *times = line.split() or [""]
        if len(times) < 2:
            faults.add(_NO_TIMES, name)
        elif recording not in recordings:
            faults.add(_NO_RECORDING, f"{name} ({recording})")
        elif (file := recordings[recording]) is not None:
            end = {} if times[1] in ("-1", "-1.0") else {"end": times[1]}  # -1 is the end of the recording
            yield _Utterance(name, file, {"recording": recording, "start": times[0], **end})


def _properties(folder: Path, target: str) -> dict[str, Mapping[str, str]]:
    """The columns: what each file maps the utterances to."""
    names = {path.name for path in folder.iterdir() if path.is_file()}
    found = {name.removeprefix("utt2"): name for name in sorted(names - _NO_PROPERTY) if name.startswith("utt2")}
    properties = {column: _mapping(folder / name) for column, name in found.items()}
    speakers = _mapping(folder / "utt2spk") if "utt2spk" in names else {}
    for name in sorted(names - _NO_PROPERTY):
        if name.startswith("spk2"):
            of_speaker = _mapping(folder / name)
            values = {each: of_speaker[who] for each, who in speakers.items() if who in of_speaker}
            properties.setdefault(name.removeprefix("spk2"), values)
    if speakers:
        properties["speaker"] = speakers
    text = _mapping(folder / "text") if "text" in names else {}
    label = next((name for name in (f"utt2{target}", *_LABELS) if name in names), None)
    if label is not None:
        properties.pop(label.removeprefix("utt2"), None)
        properties[target] = _mapping(folder / label)
    elif text and _are_labels(text):
        return {**properties, target: text}
    return {**properties, **({"text": text} if text else {})}


def _are_labels(text: Mapping[str, str]) -> bool:
    """Whether a ``text`` holds labels, as recipes for classification have it: one word each, and few of them."""
    values = {*text.values()}
    return all(len(value.split()) == 1 for value in values) and len(values) <= max(2, len(text) // 2)


def _mapping(path: Path) -> dict[str, str]:
    """The lines of a file: the first word, and the rest."""
    found: dict[str, str] = {}
    try:
        with path.open(encoding=text_encoding(path)) as stream:
            for line in bounded_lines(stream, path):
                words = line.split(maxsplit=1)
                if not words:
                    continue
                if words[0] in found:
                    raise DataError(f"{path}: {words[0]!r} stands twice; remove one of its lines")
                found[words[0]] = words[1].strip() if len(words) > 1 else ""
                if len(found) > MAX_ROWS:
                    raise DataError(f"{path}: has more than {MAX_ROWS:,} lines; split it")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeError as error:
        raise DataError(f"{path}: its text cannot be decoded ({error}); save it as UTF-8") from error
    return found
