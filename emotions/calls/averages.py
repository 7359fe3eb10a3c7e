"""What a participant's speech was like, on average: each second of speech counts once. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from emotions.runtime.prediction import Prediction, WindowPrediction

Named = Mapping[str, Mapping[str, float]]
"""Target -> label or dimension -> a figure."""
QUARTERS = 4


@dataclass(frozen=True)
class Average:
    """The mean over speech in a part of a call.

    Attributes:
        start: first second of the part, and its last, ``end``.
        talk_sec: seconds of speech in it.
        shares: target -> label -> share of speech of which it is the most probable label; empty without speech.
        probabilities: target -> label -> mean probability; likewise.
        values: target -> dimension -> mean value; likewise.
    """

    start: float
    end: float
    talk_sec: float
    shares: Named
    probabilities: Named
    values: Named


def units(prediction: Prediction) -> list[WindowPrediction]:
    """The windows of a prediction, cut so that none overlaps another: together they cover what the windows cover.

    Where two overlap, each takes the half that is nearer to its own middle.

    Args:
        prediction: its windows are in order.
    """
    windows = prediction.windows
    cuts = [_cut(before, after) for before, after in pairwise(windows)]
    starts = [windows[0].start, *(cut[1] for cut in cuts)] if windows else []
    ends = [*(cut[0] for cut in cuts), windows[-1].end] if windows else []
    bounds = zip(windows, starts, ends, strict=True)
    return [replace(window, start=start, end=end) for window, start, end in bounds if start < end]


def _cut(before: WindowPrediction, after: WindowPrediction) -> tuple[float, float]:
    """Where the one of two windows ends, and where the next begins."""
    if after.start >= before.end:
        return before.end, after.start
    middle = (before.start + before.end + after.start + after.end) / 4
    middle = min(max(middle, after.start), before.end)
    return middle, middle


def average(parts: Sequence[WindowPrediction], start: float, end: float) -> Average:
    """The mean of parts of speech, weighted by their seconds between two times.

    Args:
        parts: that do not overlap.
        start: first second.
        end: last second.
    """
    inside = [(part, min(end, part.end) - max(start, part.start)) for part in parts]
    inside = [(part, seconds) for part, seconds in inside if seconds > 0]
    talk_sec = sum(seconds for _, seconds in inside)
    shares: dict[str, dict[str, float]] = {}
    for part, seconds in inside:
        for target, scores in part.probabilities.items():
            share = shares.setdefault(target, dict.fromkeys(scores, 0.0))
            share[max(scores, key=scores.__getitem__)] += seconds / talk_sec
    probabilities = _mean([(part.probabilities, seconds / talk_sec) for part, seconds in inside])
    values = _mean([(part.values, seconds / talk_sec) for part, seconds in inside])
    return Average(start, end, talk_sec, shares, probabilities, values)


def _mean(weighted: Sequence[tuple[Named, float]]) -> Named:
    means: dict[str, dict[str, float]] = {}
    for targets, weight in weighted:
        for target, named in targets.items():
            mean = means.setdefault(target, dict.fromkeys(named, 0.0))
            for name, figure in named.items():
                mean[name] += weight * figure
    return means


def quarters(parts: Sequence[WindowPrediction], duration_sec: float) -> tuple[Average, ...]:
    """The mean in each quarter of a call.

    Args:
        parts: that do not overlap.
        duration_sec: of the call.
    """
    edges = [duration_sec * number / QUARTERS for number in range(QUARTERS + 1)]
    return tuple(average(parts, start, end) for start, end in pairwise(edges))
