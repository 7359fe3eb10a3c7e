"""TextGrid files of Praat: written in the long format, read in the long and the short one.

Source: the manual of Praat, "TextGrid file formats": a reader takes numbers, texts in quotes and flags in angle
brackets that stand free, in their order; all else is comment. A quote inside a text is doubled.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from emotions.calls.formats.annotation import Annotation, Interval, Tier, ceiling, filled
from emotions.errors import DataError

DIGITS = 6
_TOKEN = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"'
    r"|(?<!\S)(?P<flag><[a-z]+>)(?!\S)"
    r"|(?<!\S)(?P<number>[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)(?!\S)"
    r"|(?<!\S)![^\n]*"
)


def textgrid(annotation: Annotation) -> str:
    """A recording's tiers as a TextGrid, the gaps between intervals as empty ones.

    Args:
        annotation: of the recording.
    """
    return "\n".join(_lines(annotation)) + "\n"


def _lines(annotation: Annotation) -> Iterator[str]:
    tiers = [(tier, filled(tier, annotation.duration_sec, DIGITS)) for tier in annotation.tiers]
    end = max([ceiling(annotation.duration_sec, DIGITS), *(intervals[-1].end for _, intervals in tiers if intervals)])
    yield from ('File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {_time(end)}")
    yield from ("tiers? <exists>", f"size = {len(tiers)}", "item []:")
    for number, (tier, intervals) in enumerate(tiers, 1):
        yield from (f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(tier.name)}")
        yield from ("        xmin = 0", f"        xmax = {_time(end)}", f"        intervals: size = {len(intervals)}")
        for index, each in enumerate(intervals, 1):
            yield f"        intervals [{index}]:"
            yield f"            xmin = {_time(each.start)}"
            yield f"            xmax = {_time(each.end)}"
            yield f"            text = {_quoted(each.label)}"


def _time(seconds: float) -> str:
    return f"{seconds:.{DIGITS}f}".rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def read_textgrid(text: str, name: str) -> Annotation:
    """The tiers of intervals of a TextGrid; intervals without a text, and tiers of points, are left out.

    Args:
        text: of the file.
        name: of the file, for messages and as the annotation's.

    Raises:
        DataError: it is no TextGrid, or not whole.
    """
    try:
        return _read(_Tokens(text), name)
    except ValueError as error:
        raise DataError(f"{name}: is not a TextGrid that can be read ({error})") from error


class _Tokens:
    """What stands free in a text: numbers, texts and flags, in order."""

    def __init__(self, text: str) -> None:
        self._found = (match for match in _TOKEN.finditer(text) if match.lastgroup)

    def text(self) -> str:
        """The next token, a text."""
        return self._next("text").replace('""', '"')

    def number(self) -> float:
        """The next token, a number."""
        number = float(self._next("number"))
        if not math.isfinite(number):
            raise ValueError("a number is too large")
        return number

    def flag(self) -> str:
        """The next token, a flag."""
        return self._next("flag")

    def _next(self, kind: str) -> str:
        match = next(self._found, None)
        if match is None:
            raise ValueError("it ends too early")
        if match.lastgroup != kind:
            raise ValueError(f"there is {match.group()[:40]!r} where a {kind} is expected")
        return match.group(kind)


def _read(tokens: _Tokens, name: str) -> Annotation:
    if tokens.text() != "ooTextFile" or tokens.text() != "TextGrid":
        raise ValueError("it has not the head of one")
    _, end = tokens.number(), tokens.number()
    count = int(tokens.number()) if tokens.flag() == "<exists>" else 0
    tiers = [_tier(tokens) for _ in range(count)]
    return Annotation(name, end, tuple(tier for tier in tiers if tier is not None))


def _tier(tokens: _Tokens) -> Tier | None:
    kind, name = tokens.text(), tokens.text()
    _, _, count = tokens.number(), tokens.number(), int(tokens.number())
    if kind == "TextTier":
        for _ in range(count):
            tokens.number()
            tokens.text()
        return None
    if kind != "IntervalTier":
        raise ValueError(f"a tier is of the class {kind[:40]!r}")
    intervals = (Interval(tokens.number(), tokens.number(), tokens.text()) for _ in range(count))
    return Tier(name, tuple(each for each in intervals if each.label.strip()), rater=name)
