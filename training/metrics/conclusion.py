"""What the metrics of a classification say, in one sentence for whoever decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MAX_WIDTH = 0.5
"""An interval that is wider says nothing that is worth a figure."""
_MAX_LABEL = 40
_FEW_UNITS = 10
"""Below so many speakers one split says little about others."""
_MIN_CONFUSED = 0.1
"""Share of a class that must be given another before that is worth a word."""


def says_something(bounds: Sequence[float] | None) -> bool:
    """Whether an interval is narrow enough to be told as figures.

    Args:
        bounds: low and high, 0 to 1; None where there were too few speakers for an interval.
    """
    return bounds is not None and bounds[1] - bounds[0] <= MAX_WIDTH


def conclusion(found: Mapping[str, Any], whose: str = "of a new speaker") -> str:
    """One sentence: how many of 100 are right, what chance is, how sure that is, what is confused most.

    Args:
        found: ``uar``, ``wa``, ``labels`` and ``confusion`` of a target; where they are known also ``uar_ci``,
            ``speakers`` and ``interval_over``.
        whose: which recordings were measured, after the word ``recordings``.
    """
    rows = [sum(row) for row in found["confusion"]]
    occurring = [label for label, clips in zip(found["labels"], rows, strict=True) if clips]
    if not occurring:
        return "No recording was measured."
    if len(occurring) == 1:
        share = f"{_hundredths(found['wa'])} of 100 are right"
        return f"All recordings are {shortened(occurring[0])}, so that nothing can be told apart; {share}."
    chance = 1 / len(occurring)
    return "; ".join([_share(found["uar"], chance, whose), *_certainty(found, chance), *_confused(found, rows)]) + "."


def conclusions(targets: Mapping[str, Mapping[str, Any]], whose: str = "of a new speaker") -> list[str]:
    """A sentence for each target, which begins with its name where there are several.

    Args:
        targets: target -> what ``conclusion`` takes.
        whose: which recordings were measured.
    """
    told = {target: conclusion(found, whose) for target, found in targets.items()}
    if len(told) == 1:
        return [*told.values()]
    return [f"{shortened(target)}: {line[0].lower()}{line[1:]}" for target, line in told.items()]


def shortened(label: str) -> str:
    """A label as it stands in a sentence: a very long one is cut."""
    return label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}…"


def _share(uar: float, chance: float, whose: str) -> str:
    head = f"About {_hundredths(uar)} of 100 recordings {whose} are right, each class counted alike"
    if uar <= chance:
        return f"{head}: no better than chance, which is {_hundredths(chance)}"
    return f"{head}; chance is {_hundredths(chance)}"


def _certainty(found: Mapping[str, Any], chance: float) -> Iterator[str]:
    unit, number = found.get("interval_over", "speaker"), found.get("speakers")
    if "uar_ci" not in found:
        if number is not None:
            few = f", too few {unit}s to tell how sure that is" if number < _FEW_UNITS else ""
            yield f"measured once, on {number} {unit}{'' if number == 1 else 's'}{few}"
        return
    few = f"too few {unit}s{'' if number is None else f' ({number})'}"
    if not says_something(found["uar_ci"]):
        yield f"{few} to tell how sure that is"
        return
    low, high = found["uar_ci"]
    yield f"between {_hundredths(low)} and {_hundredths(high)} with 95 % confidence"
    if low <= chance < found["uar"]:
        yield f"{few} to rule chance out"


def _confused(found: Mapping[str, Any], rows: Sequence[float]) -> Iterator[str]:
    """The class that is given another one most often, for its size."""
    shares = (
        (count / rows[truth], truth, answer)
        for truth, row in enumerate(found["confusion"])
        for answer, count in enumerate(row)
        if truth != answer and count
    )
    share, truth, answer = max(shares, key=lambda each: each[0], default=(0.0, 0, 0))
    if share >= _MIN_CONFUSED:
        labels = found["labels"]
        yield (
            f"most often it takes {shortened(labels[truth])} for {shortened(labels[answer])} "
            f"({_hundredths(share)} of 100)"
        )


def _hundredths(share: float) -> str:
    """``86`` of 0.86; with a decimal below 1."""
    return f"{100 * share:.1f}" if 0 < share < 0.01 else f"{100 * share:.0f}"


def whose_of(protocol: str) -> str:
    """Which recordings a protocol measures, as ``conclusion`` wants it.

    Args:
        protocol: the line that every figure is quoted with.
    """
    if protocol.startswith("speaker-disjoint"):
        return "of a new speaker"
    if protocol.startswith("clip-wise"):
        return "of speakers that it was trained on"
    return "that it was not trained on"
