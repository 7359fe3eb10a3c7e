"""Where a path says who speaks: the rules of known corpora first, then the parts that several classes share."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from emotions.errors import plain

_CORPORA = (
    ("EmoDB", r"(?:^|/)(\d\d)[ab]\d\d[A-Z][a-z]?\.\w+$", "the first two digits of the file name"),
    ("RAVDESS", r"(?:^|/)(?:\d\d-){6}(\d\d)\.\w+$", "the last number of the file name"),
    ("CREMA-D", r"(?:^|/)(\d{4})_[A-Z]{3}_[A-Z]{3}_[A-Z]{2}\.\w+$", "the first number of the file name"),
    ("SAVEE", r"(?:^|/)(DC|JE|JK|KL)_[a-z]{1,2}\d\d\.\w+$", "the first letters of the file name"),
    ("TESS", r"(?:^|/)(OAF|YAF)_[^/]+_[A-Za-z]+\.\w+$", "the first letters of the file name"),
    ("IEMOCAP", r"(?:^|/)Ses(\d\d)[FM]_[^/]+\.\w+$", "the session, whose two speakers stay together"),
)
"""Corpora by their names of files, as their documentation has them."""
_WORDS = "speaker|spkr|spk|actor|subject|subj|sub|participant|person|talker"
_MARKED = rf"(?i)(?:^|[/_. -])((?:{_WORDS})[_ -]?\d+)(?=[/_. -])"
_ORDINALS = ("first", "second", "third", "fourth")
_PART = "[^/_. -]+"
_MOST_CLIPS = 20_000


@dataclass(frozen=True)
class SpeakerRule:
    """A way to read the speaker off a path.

    Attributes:
        pattern: regular expression; its first group is the speaker.
        words: what the group is.
        sure: whether it says who speaks for certain; else it may be a sentence, a session or a device.
        values: what it finds, in order.
    """

    pattern: str
    words: str
    sure: bool
    values: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(map(plain, self.values[:3]))
        return f"{self.words} ({shown}{', ...' if len(self.values) > 3 else ''}: {len(self.values)})"


def speaker_rules(names: Sequence[str], labels: Sequence[str]) -> list[SpeakerRule]:
    """The rules that every name fits, the likeliest first.

    Args:
        names: paths of clips relative to their dataset.
        labels: the class of each.
    """
    names, labels = names[:_MOST_CLIPS], labels[:_MOST_CLIPS]
    rules = []
    for pattern, words, sure in _candidates():
        found = [re.search(pattern, name) for name in names]
        values = [match[1] for match in found if match]
        if names and len(values) == len(names) and (sure or _shared_by_classes(values, labels)):
            rules.append(SpeakerRule(pattern, words, sure, tuple(sorted({*values}))))
    return _without_copies(rules)


def _candidates() -> Iterator[tuple[str, str, bool]]:
    """Pattern, words, and whether the pattern alone is proof."""
    for corpus, pattern, words in _CORPORA:
        yield pattern, f"{words}, as {corpus} has it", True
    yield _MARKED, "the part of the path that is called so", True
    for before, ordinal in enumerate(_ORDINALS):
        yield f"^{'[^/]+/' * before}([^/]+)/", f"the {ordinal} folder of the path", False
    for before, ordinal in enumerate(_ORDINALS):
        parts = f"{_PART}[_. -]" * before
        yield f"(?:^|/){parts}({_PART})[_. -][^/]*$", f"the {ordinal} part of the file name", False


def _shared_by_classes(values: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether values may be speakers: at least two, with four clips each or more, most of them in several classes."""
    classes: defaultdict[str, set[str]] = defaultdict(set)
    for value, label in zip(values, labels, strict=True):
        classes[value].add(label)
    several = sum(len(found) > 1 for found in classes.values())
    return 2 <= len(classes) <= len(values) / 4 and several > len(classes) / 2


def _without_copies(rules: Sequence[SpeakerRule]) -> list[SpeakerRule]:
    """The rules with those left out that find the same values as one before."""
    return [rule for index, rule in enumerate(rules) if rule.values not in {each.values for each in rules[:index]}]
