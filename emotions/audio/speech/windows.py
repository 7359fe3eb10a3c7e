"""Windows inside speech alone, of a recording that is read block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.speech.detector import SpeechDetector
from emotions.audio.speech.level import measured
from emotions.audio.speech.network import speech_network
from emotions.audio.speech.segmenter import Segmenter, SegmentOptions, SpeechSpan
from emotions.audio.stream import Blocks
from emotions.audio.windows import FloatArray, IntArray, Windows, WindowSpec, split_parts
from emotions.errors import NoSpeech

Segments = Literal["windows", "speech"]
"""What is classified of a recording: all of it, or its speech."""
_BLOCK = 60 * SAMPLE_RATE
_ENOUGH, _MORE_WINDOWS = 30 * SAMPLE_RATE, 4


@dataclass
class Speech:
    """The speech of a recording; complete when its windows are.

    Attributes:
        spans: its segments, in order.
        samples: of the recording, at 16 kHz.
        powers: mean square of the samples of each segment.
    """

    spans: list[SpeechSpan] = field(default_factory=list)
    samples: int = 0
    powers: list[float] = field(default_factory=list, compare=False)


@dataclass(frozen=True)
class SpeechPiece:
    """A part of the segment that begins at sample ``begin``, and whether it is the last one."""

    begin: int
    samples: FloatArray
    last: bool


class SpeechPieces:
    """The samples of speech of one stream, of which only what may still be speech is held.

    Args:
        enough: samples of a segment from which they are given before its end.
    """

    def __init__(self, enough: int = 1) -> None:
        self._enough = enough
        self._held = np.zeros(0, np.float32)
        self._offset = self._sent = 0

    def push(self, samples: FloatArray, closed: Iterable[SpeechSpan], segmenter: Segmenter) -> list[SpeechPiece]:
        """Take the next samples, and give those that lie in segments.

        Args:
            samples: (samples,) float32 at 16 kHz, which the detector was given.
            closed: the segments that it gave then.
            segmenter: the detector's.
        """
        self._held = np.concatenate([self._held, samples])
        pieces = [self._piece(span, last=True) for span in closed]
        going_on = segmenter.open
        if going_on is not None and going_on.end - max(going_on.begin, self._sent) >= self._enough:
            pieces.append(self._piece(going_on, last=False))
        keep = max(segmenter.needed, self._sent)
        self._held, self._offset = self._held[max(0, keep - self._offset) :], max(keep, self._offset)
        return pieces

    def _piece(self, span: SpeechSpan, *, last: bool) -> SpeechPiece:
        first, self._sent = max(span.begin, self._sent), max(span.end, self._sent)
        return SpeechPiece(span.begin, self._held[first - self._offset : self._sent - self._offset], last)


def speech_windows(
    blocks: Blocks,
    spec: WindowSpec,
    found: Speech,
    *,
    enough: int = _ENOUGH,
    options: SegmentOptions = SegmentOptions(),  # noqa: B008 - frozen
) -> Iterator[Windows]:
    """Cut the speech of a recording into windows; none contains anything between two segments.

    Args:
        blocks: consecutive (samples,) float32 at 16 kHz.
        spec: window and hop; each segment is cut as a recording of its own.
        found: takes the segments and the length of the recording.
        enough: samples of a segment from which its windows are given before its end; at least four windows.
        options: what counts as a segment.

    Yields:
        Windows with their starts in the recording; no more than a minute of the recording and ``enough`` are in memory.

    Raises:
        NoSpeech: there is none.
    """
    pieces = _pieces(
        blocks, SpeechDetector(speech_network(), options), found, max(enough, _MORE_WINDOWS * spec.samples)
    )
    for begin, group in groupby(measured(pieces, found.powers), key=lambda piece: piece.begin):
        for windows in split_parts(((piece.samples, piece.last) for piece in group), spec):
            yield replace(windows, starts=windows.starts + begin)
    if not found.spans:
        raise NoSpeech(f"no speech in its {found.samples / SAMPLE_RATE:.2f} s")


def _pieces(blocks: Blocks, detector: SpeechDetector, found: Speech, enough: int) -> Iterator[SpeechPiece]:
    pieces = SpeechPieces(enough)
    for block, ends in _with_end(blocks):
        closed = detector.finish() if ends else detector.push(block)
        found.spans += closed
        yield from pieces.push(block, closed, detector.segmenter)
    found.samples = detector.samples


def _with_end(blocks: Blocks) -> Iterator[tuple[FloatArray, bool]]:
    """The blocks, in pieces of a minute at most, and an empty one that is the end."""
    for block in blocks:
        yield from ((block[at : at + _BLOCK], False) for at in range(0, len(block), _BLOCK))
    yield np.zeros(0, np.float32), True


def split_speech(waveform: FloatArray, spec: WindowSpec) -> tuple[Windows, Speech]:
    """Cut the speech of a waveform (samples,) at 16 kHz into windows, zero-padded to one length.

    Args:
        waveform: the recording.
        spec: window and hop; where the model takes any length, windows are padded to the longest.

    Raises:
        NoSpeech: there is none.
    """
    found = Speech()
    parts = [*speech_windows(iter([waveform]), replace(spec, dynamic=True), found)]
    width = max(part.samples.shape[1] for part in parts) if spec.dynamic else spec.samples
    return Windows(_padded(parts, width), *_joined(parts)), found


def _padded(parts: Iterable[Windows], width: int) -> FloatArray:
    return np.concatenate([np.pad(each.samples, ((0, 0), (0, width - each.samples.shape[1]))) for each in parts])


def _joined(parts: list[Windows]) -> tuple[IntArray, IntArray]:
    return np.concatenate([each.lengths for each in parts]), np.concatenate([each.starts for each in parts])
