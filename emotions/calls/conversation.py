"""Who speaks over whom. Pure functions over the spans in which each participant speaks.

Overlap is time in which two or more speak at once. An interruption is one kind of it: a participant begins while
another speaks, both speak on together for at least half a second, and the one who began goes on when the other has
stopped, who so loses the turn. What begins and ends while another speaks, as a "mhm", is overlap alone: it takes no
turn.

Sources: Heldner and Edlund, "Pauses, gaps and overlaps in conversations", Journal of Phonetics 38 (2010): overlap
between speakers, at which the turn changes, against overlap within a speaker's turn; Beattie, "Turn-taking and
interruption in political interviews", Semiotica 39 (1982): what is successful, with simultaneous speech; Levinson and
Torreira, "Timing in turn-taking and its implications for processing models of language", Frontiers in Psychology 6
(2015): most overlaps where turns change are far shorter than half a second, since listeners foresee the end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from emotions.calls.spans import Span, merged, shared, total, union

INTERRUPTION_SEC = 0.5
"""Least time for which both speak before the one who is interrupted stops."""


@dataclass(frozen=True)
class Interruption:
    """That a participant takes another's turn.

    Attributes:
        at: second at which ``by`` begins.
        by: index of who interrupts.
        of: index of who is interrupted.
    """

    at: float
    by: int
    of: int


def interruptions(speech: Sequence[Sequence[Span]], least_sec: float = INTERRUPTION_SEC) -> list[Interruption]:
    """All interruptions of a conversation, in order.

    Args:
        speech: the spans in which each participant speaks.
        least_sec: seconds for which both speak before the one who is interrupted stops.

    Example:
        >>> interruptions([[(0, 5)], [(4, 8)]])
        [Interruption(at=4, by=1, of=0)]
        >>> interruptions([[(0, 5)], [(4.7, 8)]])
        []
    """
    turns = [merged(spans) for spans in speech]
    pairs = ((by, of) for by in range(len(turns)) for of in range(len(turns)) if by != of)
    found = (Interruption(at, by, of) for by, of in pairs for at in _taken(turns[by], turns[of], least_sec))
    return sorted(found, key=lambda each: (each.at, each.by, each.of))


def _taken(turns: Sequence[Span], others: Sequence[Span], least_sec: float) -> Iterator[float]:
    """Starts of the turns that take one of the others."""
    starts = [start for start, _ in others]
    for start, end in turns:
        before = bisect_right(starts, start) - 1
        # Of two who begin at once, neither interrupts.
        if before >= 0 and starts[before] < start:
            stops = others[before][1]
            if stops - start >= least_sec and end > stops:
                yield start


def overlap_of(speech: Sequence[Sequence[Span]], number: int) -> float:
    """Seconds in which one participant and any other speak at once.

    Args:
        speech: the spans in which each participant speaks.
        number: index of the participant.
    """
    others = union(spans for index, spans in enumerate(speech) if index != number)
    return total(shared(merged(speech[number]), others))


def overlap(speech: Sequence[Sequence[Span]]) -> float:
    """Seconds in which two or more speak at once."""
    lists = [merged(spans) for spans in speech]
    pairs = (shared(one, other) for index, one in enumerate(lists) for other in lists[:index])
    return total(union(pairs))


def silence(speech: Sequence[Sequence[Span]], duration_sec: float) -> float:
    """Seconds in which nobody speaks.

    Args:
        speech: the spans in which each participant speaks.
        duration_sec: of the recording.
    """
    return max(0.0, duration_sec - total(union(speech)))
