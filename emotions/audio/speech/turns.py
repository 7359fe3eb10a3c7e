"""Windows inside the turns of one speaker, which somebody else has found, of a recording read block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from emotions.audio.decode import MIN_SAMPLES, SAMPLE_RATE
from emotions.audio.speech.level import measured
from emotions.audio.speech.segmenter import SpeechSpan
from emotions.audio.speech.windows import Speech
from emotions.audio.stream import Blocks
from emotions.audio.windows import FloatArray, Windows, WindowSpec, split_parts
from emotions.errors import NoTurns

_EMPTY = np.zeros(0, np.float32)


@dataclass(frozen=True)
class _Piece:
    """A part of the turn that begins at sample ``begin``."""

    begin: int
    samples: FloatArray
    last: bool


def turn_windows(
    blocks: Blocks, spec: WindowSpec, found: Speech, turns: Sequence[tuple[float, float]]
) -> Iterator[Windows]:
    """Cut a speaker's turns into windows; none contains anything else.

    Args:
        blocks: consecutive (samples,) float32 at 16 kHz.
        spec: window and hop; each turn is cut as a recording of its own.
        found: takes the turns, as far as the recording has them, and its length.
        turns: start and end of each in seconds, in order; none overlaps another. Those of less than 25 ms are left out.

    Yields:
        Windows with their starts in the recording.

    Raises:
        NoTurns: none lies in the recording.
    """
    pieces = measured(_pieces(blocks, [*_spans(turns)], found), found.powers)
    for begin, group in groupby(pieces, key=lambda piece: piece.begin):
        for windows in split_parts(((piece.samples, piece.last) for piece in group), spec):
            yield replace(windows, starts=windows.starts + begin)
    if not found.spans:
        raise NoTurns(f"no segment of this speaker lies in its {found.samples / SAMPLE_RATE:.2f} s")


def _spans(turns: Sequence[tuple[float, float]]) -> Iterator[SpeechSpan]:
    for start, end in turns:
        span = SpeechSpan(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
        if span.end - span.begin >= MIN_SAMPLES:
            yield span


def _pieces(blocks: Blocks, spans: Sequence[SpeechSpan], found: Speech) -> Iterator[_Piece]:
    """The samples of turns; one that the end of the recording cuts to too little is left out."""
    held, number = _EMPTY, 0  # what is too short to be sure that its turn is long enough
    for block in blocks:
        at, found.samples = found.samples, found.samples + len(block)
        while number < len(spans) and spans[number].begin < found.samples:
            span = spans[number]
            held = np.concatenate([held, block[max(0, span.begin - at) : span.end - at]])
            ends = span.end <= found.samples
            if ends:
                found.spans.append(span)
                number += 1
            if ends or found.samples - span.begin >= MIN_SAMPLES:
                yield _Piece(span.begin, held, ends)
                held = _EMPTY
            if not ends:
                break
    if number < len(spans) and found.samples - spans[number].begin >= MIN_SAMPLES:
        found.spans.append(replace(spans[number], end=found.samples))
        yield _Piece(spans[number].begin, _EMPTY, last=True)
