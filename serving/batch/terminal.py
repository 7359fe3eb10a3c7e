"""Predictions for somebody who reads them: a line a recording with bars, or what a recording is over time."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from emotions.audio.windows import FloatArray
from emotions.bundle.manifest import UNKNOWN
from emotions.bundle.targets import Range
from emotions.errors import plain
from emotions.folder.result import FileResult
from emotions.inputs.input_file import InputFile
from emotions.runtime.prediction import Prediction
from serving.batch.timeline import Timeline

_EIGHTHS = (" ▏▎▍▌▋▊▉█", " ...:::##")
_LEVELS = (" ▁▂▃▄▅▆▇█", " ..::-=##")
_BAR = 10
_LONGEST_NAME = 40
_LONGEST_LABEL = 16
_SHOWN = 3
_MOST_ROWS = 12
_SHORTEST, _LONGEST = 40, 120


@dataclass(frozen=True)
class Terminal:
    """What lines are written for.

    Attributes:
        width: columns.
        blocks: whether block characters can be written; else letters stand for them.
    """

    width: int = 100
    blocks: bool = True

    @classmethod
    def here(cls) -> Terminal:
        """The terminal of standard output."""
        width = shutil.get_terminal_size((100, 24)).columns
        encoding = (sys.stdout.encoding or "ascii").lower()
        return cls(min(max(width, _SHORTEST), _LONGEST), encoding.startswith("utf"))


def name_width(files: Sequence[InputFile], terminal: Terminal) -> int:
    """Columns of the names of files: at most 40, and at most a third of the terminal."""
    most = min(_LONGEST_NAME, terminal.width // 3)
    return min(max((len(plain(file.name)) for file in files), default=0), most)


def line_of(result: FileResult, width: int, terminal: Terminal) -> str:
    """One recording: its name, its length, its most probable labels with bars, what is wrong with it.

    Args:
        result: of the recording.
        width: columns of the name, as ``name_width`` gives them.
        terminal: what it is written for.
    """
    name = f"{_cut(plain(result.name), width):<{width}}"
    prediction = result.prediction
    if prediction is None:
        return f"{name}  error: {plain(result.error or result.code or '')}"
    cells = _label_cells(prediction, terminal.width - width - 12, terminal)
    cells += [f"{plain(name)} {value:.2f}" for values in prediction.values.values() for name, value in values.items()]
    cells += [plain(warning) for warning in prediction.warnings]
    return "  ".join([name, f"{prediction.duration_sec:6.1f} s", *cells]).rstrip()


def _label_cells(prediction: Prediction, room: int, terminal: Terminal) -> list[str]:
    """The first target's likeliest labels with bars, and the label of each other one; nothing without labels."""
    if not prediction.probabilities:
        return []
    first, *others = prediction.probabilities
    cells = [UNKNOWN] * prediction.unknown.get(first, False)
    cells += _bars(prediction.probabilities[first], room, terminal)
    return cells + [f"{plain(target)}: {_answer(prediction, target)}" for target in others]


def timeline_lines(
    name: str, found: Timeline, terminal: Terminal, ranges: Mapping[str, Range] = MappingProxyType({})
) -> list[str]:
    """A recording over time: its level, then a row a label or dimension, darker where it is more, over an axis of time.

    Args:
        name: of the recording.
        found: its pieces, one a column.
        terminal: what it is written for.
        ranges: of the targets of dimensions, whose lowest value is blank and whose highest is full.
    """
    rows = {"level": found.level}
    for target, scores in found.probabilities.items():
        likeliest = sorted(scores, key=lambda label: float(-np.nanmean(scores[label])))[:_MOST_ROWS]
        prefix = f"{target}: " if len(found.probabilities) > 1 else ""
        rows |= {f"{prefix}{plain(label)}": scores[label] for label in likeliest}
    for target, values in found.values.items():
        low, high = ranges.get(target, (0.0, 1.0))
        rows |= {plain(dimension): (each - low) / (high - low) for dimension, each in values.items()}
    return [
        f"{plain(name)}, {_clock(found.duration_sec)}",
        *(
            f"  {_cut(label, _LONGEST_LABEL):<{_LONGEST_LABEL}} {_heights(values, terminal)}"
            for label, values in rows.items()
        ),
        f"  {'':<{_LONGEST_LABEL}} {_axis(found.duration_sec, len(found.level))}".rstrip(),
    ]


def columns_of_time(terminal: Terminal) -> int:
    """How many columns a timeline has."""
    return terminal.width - _LONGEST_LABEL - 3


def _bars(scores: Mapping[str, float], room: int, terminal: Terminal) -> list[str]:
    """The likeliest labels with their bars, as many as there is room for, at least one."""
    label_width = min(max(len(plain(label)) for label in scores), _LONGEST_LABEL)
    fit = max(1, min(_SHOWN, room // (label_width + _BAR + 9)))
    likeliest = sorted(scores, key=lambda label: -scores[label])[:fit]
    return [
        f"{_cut(plain(label), label_width):<{label_width}} {_bar(scores[label], terminal)} {100 * scores[label]:3.0f} %"
        for label in likeliest
    ]


def _answer(prediction: Prediction, target: str) -> str:
    if prediction.unknown.get(target, False):
        return UNKNOWN
    label = prediction.labels[target]
    return f"{plain(label)} {100 * prediction.probabilities[target][label]:.0f} %"


def _bar(share: float, terminal: Terminal) -> str:
    steps = _EIGHTHS[0 if terminal.blocks else 1]
    eighths = round(8 * _BAR * share)
    return (steps[8] * (eighths // 8) + steps[eighths % 8] * (eighths % 8 > 0)).ljust(_BAR)


def _heights(values: FloatArray, terminal: Terminal) -> str:
    steps = [*_LEVELS[0 if terminal.blocks else 1], " "]  # blank where nothing was classified
    heights = np.where(np.isnan(values), len(steps) - 1, np.clip(np.ceil(values * 8), 0, 8))
    return "".join(steps[index] for index in heights.astype(int))


def _axis(seconds: float, columns: int) -> str:
    """Times below a timeline, at its beginning and at each further quarter."""
    line = ""
    for quarter in range(4):
        line = f"{line:<{columns * quarter // 4}}{_clock(seconds * quarter / 4)} "
    return line


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{int(rest):02}" if hours else f"{minutes}:{rest:04.1f}"


def _column(label: str) -> str:
    return f"{_cut(label, _LONGEST_LABEL):<{_LONGEST_LABEL}}"


def _cut(text: str, width: int) -> str:
    """A text that is too long without its beginning, which folders share."""
    return text if len(text) <= width else f"...{text[len(text) - width + 3 :]}"
