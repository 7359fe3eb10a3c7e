"""Formats of lines: label tracks of Audacity, RTTM, and subtitles as SRT and WebVTT."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import PurePosixPath

from emotions.calls.formats.annotation import Annotation, Interval, Tier, Turns


def audacity(annotation: Annotation) -> str:
    """A label track of Audacity: start, end and label, with tabs between them.

    Args:
        annotation: of the recording; where it has several tiers, a label says which one it is of.
    """
    lines = (
        f"{each.start:.6f}\t{each.end:.6f}\t{_whose(annotation, tier)}{each.label}\n" for tier, each in _all(annotation)
    )
    return "".join(lines)


def _whose(annotation: Annotation, tier: Tier) -> str:
    return f"{tier.name}: " if len(annotation.tiers) > 1 else ""


def _all(annotation: Annotation) -> list[tuple[Tier, Interval]]:
    """All intervals, by their start."""
    found = [(tier, each) for tier in annotation.tiers for each in tier.intervals]
    return sorted(found, key=lambda pair: (pair[1].start, pair[1].end))


def rttm(annotation: Annotation) -> str:
    """Who speaks when, as NIST's Rich Transcription Time Marked: a line ``SPEAKER`` for each turn.

    Args:
        annotation: its turns; a recording that is not divided has one speaker, ``speaker``.
    """
    name = _word(str(PurePosixPath(annotation.file).with_suffix("")) if annotation.file else "")
    turns = [(span, each) for each in annotation.turns for span in each.spans]
    return "".join(_rttm_line(name, each, *span) for span, each in sorted(turns, key=lambda pair: pair[0]))


def _rttm_line(name: str, turns: Turns, start: float, end: float) -> str:
    speaker, channel = _word(turns.speaker or "speaker"), turns.channel or 1
    return f"SPEAKER {name} {channel} {start:.3f} {end - start:.3f} <NA> <NA> {speaker} <NA> <NA>\n"


def _word(text: str) -> str:
    """A text without spaces, which RTTM has between fields."""
    return re.sub(r"\s+", "_", text) or "_"


def srt(annotation: Annotation) -> str:
    """Subtitles in SubRip's format: a cue for each interval.

    Args:
        annotation: of the recording.
    """
    cues = (
        f"{number}\n{_clock(each.start, ',')} --> {_clock(each.end, ',')}\n{_told(tier, each).replace('-->', '->')}\n"
        for number, (tier, each) in enumerate(_all(annotation), 1)
    )
    return "\n".join(cues)


def vtt(annotation: Annotation) -> str:
    """Subtitles in WebVTT: a cue for each interval, in its speaker's voice.

    Args:
        annotation: of the recording.
    """
    return "\n".join(("WEBVTT\n", *_vtt_cues(annotation)))


def _vtt_cues(annotation: Annotation) -> Iterator[str]:
    for tier, each in _all(annotation):
        voice = f"<v {escape(tier.speaker, quote=False)}>" if tier.speaker else ""
        text = escape(_said(tier, each), quote=False)
        yield f"{_clock(each.start, '.')} --> {_clock(each.end, '.')}\n{voice}{text}\n"


def _told(tier: Tier, each: Interval) -> str:
    return f"{tier.speaker}: {_said(tier, each)}" if tier.speaker else _said(tier, each)


def _said(tier: Tier, each: Interval) -> str:
    score = "" if each.score is None else f" {each.score:.2f}"
    return f"{tier.target} {each.label}{score}"


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"
