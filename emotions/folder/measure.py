"""What the recordings of a folder sound like, read once more beside their answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from emotions.audio.decode import ReadOptions
from emotions.audio.decoders.read import read
from emotions.audio.signal_measure import Signal, measure_signal
from emotions.errors import AudioError
from emotions.folder.windows_of_file import content_of
from emotions.inputs.input_file import InputFile
from emotions.runtime.cores import available_cores

MAX_SEC = 600.0
"""Seconds of a recording that are listened to: the rest of a long one sounds alike, and would not fit into memory."""
_AT_ONCE = 64


def measure_files(files: Iterable[InputFile]) -> Iterator[Signal | None]:
    """Measure recordings, in their order; None of one that cannot be read."""
    waiting = iter(files)
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="measure") as pool:
        while some := [*islice(waiting, _AT_ONCE)]:
            yield from pool.map(measure_file, some)


def measure_file(file: InputFile) -> Signal | None:
    """Measure one recording or segment, at most ``MAX_SEC`` of it; None where it cannot be read."""
    start = file.start or 0.0
    end = start + MAX_SEC if file.end is None else min(file.end, start + MAX_SEC)
    try:
        waveform = read(content_of(file), ReadOptions(start=file.start, end=end, channel=file.channel)).waveform
    except (AudioError, OSError):
        return None
    return measure_signal(waveform) if len(waveform) else None
