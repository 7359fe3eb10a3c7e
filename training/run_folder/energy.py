"""Energy of a training in its run folder: one entry for each time that it began or went on."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from emotions.errors import ConfigError, EmotionsError, first_line
from emotions.files.json_text import read_json, write_json
from emotions.pipeline.energy.config import EnergyConfig
from emotions.pipeline.energy.energy import Energy, total
from emotions.pipeline.energy.meter import measuring

ENERGY_FILE = "energy.json"
ENTRY = "energy"
"""Key of the sum in the index of a run folder."""
_MAX_BYTES = 1 << 20
_PARTS = TypeAdapter(list[Energy | None])
_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def measured_part(folder: Path, config: EnergyConfig | None, *, resumed: bool) -> Iterator[None]:
    """Measure a training, or what is left of it, and keep the figure with those of its former parts.

    A part is noted before it begins, so that one whose process is killed counts as one that was not measured.

    Args:
        folder: the run folder.
        config: how; None for not at all.
        resumed: whether a part of this training was done before.
    """
    parts = _read(folder) if resumed else []
    if config is None and not parts:
        (folder / ENERGY_FILE).unlink(missing_ok=True)  # of a training that this one takes the place of
        yield
        return
    former = parts or [None] * resumed
    _write(folder, [*former, None])
    meter = None
    try:
        with measuring(config) as meter:
            yield
    finally:
        with contextlib.suppress(EmotionsError, OSError):  # a full disk is told by whoever filled it
            _write(folder, [*former, meter.energy if meter else None])


def energy_of_run(folder: Path) -> Energy | None:
    """The sum of the parts of a training that were measured; None where none was, or the file is damaged."""
    return total(_read(folder))


def _read(folder: Path) -> list[Energy | None]:
    path = folder / ENERGY_FILE
    if not path.exists():
        return []
    try:
        return _PARTS.validate_python(read_json(path, _MAX_BYTES))
    except (ConfigError, ValidationError) as error:
        _LOG.warning("%s: is damaged (%s); what it held of energy is lost", path, first_line(error))
        return [None]


def _write(folder: Path, parts: Sequence[Energy | None]) -> None:
    write_json(folder / ENERGY_FILE, _PARTS.dump_python([*parts], mode="json"))
