"""Spans of time, (start, end) in seconds: unions, intersections and lengths. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

Span = tuple[float, float]
"""Start and end in seconds."""


def merged(spans: Iterable[Span]) -> list[Span]:
    """The union of spans: in order, none touches the next, and none is empty.

    Args:
        spans: any; they may overlap.

    Example:
        >>> merged([(3, 4), (0, 1), (0.5, 2)])
        [(0, 2), (3, 4)]
    """
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def total(spans: Iterable[Span]) -> float:
    """The sum of their lengths, in seconds."""
    return sum(end - start for start, end in spans)


def shortened(spans: Iterable[Span], seconds: float) -> list[Span]:
    """Spans without some time at both ends; what is shorter than that is left out.

    Args:
        spans: any.
        seconds: to take away at each end.
    """
    return [(start + seconds, end - seconds) for start, end in spans if end - start > 2 * seconds]


def shared(one: Sequence[Span], other: Sequence[Span]) -> list[Span]:
    """Where both lists have a span.

    Args:
        one: as ``merged`` gives them; so is ``other``.
        other: the second list.

    Example:
        >>> shared([(0, 2), (3, 4)], [(1, 3.5)])
        [(1, 2), (3, 3.5)]
    """
    return [*_shared(one, other)]


def _shared(one: Sequence[Span], other: Sequence[Span]) -> Iterator[Span]:
    first, second = 0, 0
    while first < len(one) and second < len(other):
        start, end = max(one[first][0], other[second][0]), min(one[first][1], other[second][1])
        if start < end:
            yield start, end
        if one[first][1] < other[second][1]:
            first += 1
        else:
            second += 1


def union(lists: Iterable[Sequence[Span]]) -> list[Span]:
    """As ``merged``, of several lists together."""
    return merged(chain.from_iterable(lists))
