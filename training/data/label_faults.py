"""Labels that are no classes: missing values written out, and one class in two spellings."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from training.data.data_faults import Faults

_MISSING = frozenset(
    {
        *("nan", "NaN", "NAN", "NaT", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "None", "NONE"),
        *("null", "NULL", "Null", "nil", "-", "--", "?"),
    }
)
"""What tools and people write where there is no value."""
_SHORTEST = 4
"""Labels of fewer letters are often a letter apart: sad, mad."""


class Labelled(Protocol):
    """A clip, as far as its labels go."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Target to label."""

    @property
    def shares(self) -> Mapping[str, Mapping[str, float]]:
        """Target to the share of each label, where raters gave several."""

    @property
    def name(self) -> str:
        """The clip's name."""


def add_label_faults(clips: Sequence[Labelled], targets: Sequence[str], faults: Faults) -> None:
    """Add the labels that training refuses.

    Args:
        clips: the clips.
        targets: their targets.
        faults: takes a fault for each such label.
    """
    for target in targets:
        labels = {label for clip in clips for label in _given(clip, target)}
        wrong = {label: _missing(target, label) for label in labels if label in _MISSING}
        for spellings in _same_in_other_letters(labels):
            words = f"{target} {' and '.join(map(repr, spellings))}"
            kind = f"{words} differ only in case, spaces or Unicode form (write them alike)"
            wrong.update({label: kind for label in spellings if label not in wrong})
        for clip in clips:
            for label in _given(clip, target):
                if label in wrong:
                    faults.add(wrong[label], clip.name)


def _given(clip: Labelled, target: str) -> list[str]:
    """The labels of a clip: of its raters, or its own."""
    return [*clip.shares.get(target, ([clip.labels[target]] if target in clip.labels else []))]


def _missing(target: str, label: str) -> str:
    return (
        f"{target} {label!r} looks like a missing value (leave it empty, remove the clip, or call the class otherwise)"
    )


def _same_in_other_letters(labels: Collection[str]) -> list[list[str]]:
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(labels):
        alike[" ".join(unicodedata.normalize("NFKC", label).casefold().split())].append(label)
    return [spellings for spellings in alike.values() if len(spellings) > 1]


def a_letter_apart(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of labels that differ in one letter, or in the order of two: perhaps one class, misspelt once."""
    long = [label for label in labels if len(label) >= _SHORTEST]
    return [(one, other) for at, one in enumerate(long) for other in long[at + 1 :] if _one_slip(one, other)]


def _one_slip(one: str, other: str) -> bool:
    """Whether one letter is wrong, missing or too many, or two neighbours have changed places; digits do not count."""
    if abs(len(one) - len(other)) > 1 or one.casefold() == other.casefold():
        return False
    start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    one, other = one[start:], other[start:]
    if any(letter.isdigit() for letter in (one[:1] + other[:1])):
        return False
    swapped = one[:2] == other[:2][::-1] and one[2:] == other[2:]
    return swapped or one[1:] == other[1:] or one[1:] == other or one == other[1:]
