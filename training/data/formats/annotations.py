"""The layout of ``emotions-classify``: ``annotations.json`` beside the clips."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from emotions.errors import ConfigError, DataError
from emotions.files.json_text import read_json
from emotions.inputs.locate import locate_recording
from emotions.inputs.tables import clean
from training.data.data_faults import Faults
from training.data.formats.entry import MISSING, Entry, entry_of

_OUTSIDE = "annotated name leads out of the dataset's folder (keep the clips beside annotations.json)"
_NOT_OBJECT = 'annotation is not an object such as {"emotion": "angry"}'


def read_annotations(path: Path, faults: Faults) -> Iterator[Entry]:
    """The clips that an annotations file names.

    Args:
        path: the file, beside the clips.
        faults: takes the faults of single clips, which are left out.
    """
    try:
        document = read_json(path)
    except ConfigError as error:
        raise DataError(str(error)) from error
    if not isinstance(document, dict):
        raise DataError(f'{path}: is not an object such as {{"clip.wav": {{"emotion": "angry"}}}}')
    for name, record in document.items():
        if not isinstance(record, dict):
            faults.add(_NOT_OBJECT, name)
        elif _leads_out(name):
            faults.add(_OUTSIDE, name)
        elif (file := locate_recording(path.parent, name)) is None:
            faults.add(MISSING, name)
        else:
            yield entry_of(path.parent, file, clean(record))


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or (len(name) > 1 and name[1] == ":")
