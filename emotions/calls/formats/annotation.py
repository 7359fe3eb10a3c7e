"""What is said of a recording over time, in tiers: what every format is written from, and read into."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from emotions.calls.averages import units
from emotions.calls.spans import Span, merged
from emotions.errors import plain
from emotions.folder.result import FileResult
from emotions.runtime.prediction import Prediction, WindowPrediction


@dataclass(frozen=True)
class Interval:
    """A label from one second to another; ``score`` is its probability, None where it has none."""

    start: float
    end: float
    label: str
    score: float | None = None


@dataclass(frozen=True)
class Tier:
    """Intervals of one kind, in order, none of which overlaps another.

    Attributes:
        name: of the tier; no other tier has it.
        intervals: of it.
        target: what the labels are of.
        speaker: of whom; empty where a recording is not divided.
        channel: number of the channel, from 1; None for all.
        rater: who says so.
        categorical: whether the labels are such, rather than values written out.
    """

    name: str
    intervals: tuple[Interval, ...]
    target: str = ""
    speaker: str = ""
    channel: int | None = None
    rater: str = ""
    categorical: bool = True


@dataclass(frozen=True)
class Turns:
    """Where somebody speaks."""

    speaker: str
    channel: int | None
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Annotation:
    """A recording over time.

    Attributes:
        file: its name.
        duration_sec: seconds up to which it is annotated.
        tiers: what is said of it.
        turns: where each participant speaks, one for each.
        rater: who says so: the bundle.
    """

    file: str
    duration_sec: float
    tiers: tuple[Tier, ...]
    turns: tuple[Turns, ...] = ()
    rater: str = ""


def annotation_of(results: Sequence[FileResult], rater: str, *, windows: bool) -> Annotation:
    """The annotation of one recording, by the predictions of its participants.

    Args:
        results: one for each participant; those that failed have no tier.
        rater: the bundle.
        windows: an interval for each window, rather than for each segment of speech; where only speech was classified.
    """
    first = results[0]
    spoken = [(each, each.prediction) for each in results if each.prediction is not None]
    offset = first.start or 0.0
    duration = offset + max((prediction.duration_sec for _, prediction in spoken), default=0.0)
    tiers = tuple(tier for each, found in spoken for tier in _tiers(each, found, rater, offset, windows=windows))
    turns = tuple(Turns(_clean(each.speaker), each.channel, _spans(found, offset)) for each, found in spoken)
    name = first.name.encode("utf-8", "backslashreplace").decode()
    return Annotation(_clean(name), duration, tiers, turns, _clean(rater))


def _spans(prediction: Prediction, offset: float) -> tuple[Span, ...]:
    parts = prediction.segments or prediction.windows
    return tuple(merged((offset + each.start, offset + each.end) for each in parts))


def _tiers(result: FileResult, prediction: Prediction, rater: str, offset: float, *, windows: bool) -> Iterator[Tier]:
    parts = prediction.segments if prediction.segments and not windows else units(prediction)
    for target in (*prediction.probabilities, *prediction.values):
        intervals = tuple(_interval(part, target, offset) for part in parts)
        name = _clean(f"{result.speaker} {target}".strip())
        is_label = target in prediction.probabilities
        yield Tier(
            name, intervals, _clean(target), _clean(result.speaker), result.channel, _clean(rater), categorical=is_label
        )


def _interval(part: WindowPrediction, target: str, offset: float) -> Interval:
    start, end = offset + part.start, offset + part.end
    scores = part.probabilities.get(target)
    if scores is None:
        text = " ".join(f"{name}={value:.3g}" for name, value in part.values[target].items())
        return Interval(start, end, _clean(text))
    label = max(scores, key=scores.__getitem__)
    return Interval(start, end, _clean(label), scores[label])


def _clean(text: str) -> str:
    """A text that every format can hold: control characters are escaped."""
    return plain(text)


def filled(tier: Tier, duration_sec: float, digits: int) -> list[Interval]:
    """The intervals of a tier with empty ones between them, from 0 to its end, none without length.

    Args:
        tier: its intervals.
        duration_sec: of the recording.
        digits: of a second, behind the point.
    """
    found: list[Interval] = []
    at = 0.0
    for each in rounded(tier, digits):
        if each.start > at:
            found.append(Interval(at, each.start, ""))
        found.append(each)
        at = each.end
    end = ceiling(max(duration_sec, at), digits)
    return [*found, Interval(at, end, "")] if end > at else found


def rounded(tier: Tier, digits: int) -> list[Interval]:
    """The intervals of a tier with rounded times, without those that have no length then. Args as ``filled``."""
    times = [(round(each.start, digits), round(each.end, digits), each) for each in tier.intervals]
    return [Interval(start, end, each.label, each.score) for start, end, each in times if start < end]


def ceiling(seconds: float, digits: int) -> float:
    """Seconds, rounded up unless they are next to a rounded value: what ends there is not to lie behind it."""
    scale: int = 10**digits
    return round(math.ceil(round(seconds * scale, 3)) / scale, digits)
