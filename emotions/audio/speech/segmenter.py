"""From probabilities of speech to segments: the rules of Silero's ``get_speech_timestamps``, frame by frame.

Whatever parts the probabilities come in, the segments are those of the whole; what is certain is given at once. A
segment in which no quarter of a second is sure to be speech is left out: notes with vibrato are taken for speech, but
hardly ever so surely.

Source: silero-vad 6.2.3, ``get_speech_timestamps_from_probs``, without a longest duration of speech.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.speech.network import FRAME

_HYSTERESIS, _LEAST_THRESHOLD = 0.15, 0.01
_SURE_FRAMES = 8  # 256 ms
_LONGEST_UNSURE = 10 * SAMPLE_RATE  # speech that grows sure begins so many samples before at most: they are kept


@dataclass(frozen=True)
class SpeechSpan:
    """Speech from sample ``begin`` to sample ``end``, exclusive, at 16 kHz."""

    begin: int
    end: int


@dataclass(frozen=True)
class SegmentOptions:
    """What counts as a segment of speech.

    Attributes:
        threshold: probability from which a frame is speech; speech goes on until 0.15 below it.
        min_speech_sec: shorter speech is none.
        min_silence_sec: shorter silence does not end speech.
        pad_sec: seconds added at both ends, at most half of the silence there.
        sure: mean probability that 8 frames in a row reach in a segment; 0 for Silero's own segments.
    """

    threshold: float = 0.5
    min_speech_sec: float = 0.25
    min_silence_sec: float = 0.3
    pad_sec: float = 0.1
    sure: float = 0.97

    def __post_init__(self) -> None:
        seconds = (self.min_speech_sec, self.min_silence_sec, self.pad_sec)
        if not 0 < self.threshold < 1 or not 0 <= self.sure < 1 or not all(0 <= each <= 60 for each in seconds):
            raise ValueError(f"probabilities lie between 0 and 1, and durations between 0 and 60 s, got {self}")


class Segmenter:
    """The segments of one stream. Give it all probabilities in order, then ``finish``.

    Args:
        options: what counts as a segment.
    """

    def __init__(self, options: SegmentOptions = SegmentOptions()) -> None:
        self._threshold = options.threshold
        self._lower = max(options.threshold - _HYSTERESIS, _LEAST_THRESHOLD)
        self._min_speech = options.min_speech_sec * SAMPLE_RATE
        self._min_silence = options.min_silence_sec * SAMPLE_RATE
        self._pad = round(options.pad_sec * SAMPLE_RATE)
        self._needed_sum = options.sure * _SURE_FRAMES
        self._latest: deque[float] = deque(maxlen=_SURE_FRAMES)
        self._sure = not options.sure
        self._at = 0
        self._start: int | None = None  # of speech that goes on
        self._silence: int | None = None  # where silence began in it
        self._begin: int | None = None  # padded start of speech that is long enough
        self._waiting: SpeechSpan | None = None  # its end is not padded: that depends on what follows
        self._settled: list[SpeechSpan] = []

    @property
    def open(self) -> SpeechSpan | None:
        """What is certain of a segment whose end is not: all of it lies in the segment, which may go on."""
        if self._begin is not None:
            return SpeechSpan(self._begin, self._at - FRAME if self._silence is None else self._silence)
        return self._waiting

    @property
    def needed(self) -> int:
        """The first sample that a segment may still contain."""
        if (found := self.open) is not None:
            return found.begin
        return max(0, (self._at if self._start is None else self._start) - self._pad)

    def push(self, probabilities: Iterable[float]) -> list[SpeechSpan]:
        """Take the probabilities of the next frames, and give the segments that are certain by them.

        Args:
            probabilities: of frames of 512 samples.
        """
        for probability in probabilities:
            self._take(probability)
        return self._given()

    def finish(self, samples: int) -> list[SpeechSpan]:
        """The last segments.

        Args:
            samples: of the stream, at 16 kHz.
        """
        if self._start is not None:
            self._close(samples)
        if (last := self._waiting) is not None:
            self._settled.append(SpeechSpan(last.begin, min(samples, last.end + self._pad)))
        self._start = self._silence = self._begin = self._waiting = None
        return self._given()

    def _given(self) -> list[SpeechSpan]:
        given, self._settled = self._settled, []
        return given

    def _take(self, probability: float) -> None:
        at, self._at = self._at, self._at + FRAME
        if probability >= self._threshold:
            self._silence = None
            self._start = at if self._start is None else self._start
        self._weigh(probability, at)
        if probability < self._lower and self._start is not None:
            self._silence = at if self._silence is None else self._silence
            if at - self._silence >= self._min_silence:
                self._close(self._silence)
        self._settle(at)

    def _weigh(self, probability: float, at: int) -> None:
        """Look whether speech that goes on is sure to be some."""
        if self._start is None or self._sure:
            return
        self._latest.append(probability)
        self._sure = len(self._latest) == _SURE_FRAMES and sum(self._latest) >= self._needed_sum
        if not self._sure:
            self._start = max(self._start, at - _LONGEST_UNSURE)

    def _settle(self, at: int) -> None:
        """Decide what the frame at a sample makes certain."""
        start = self._start
        if start is not None and self._begin is None:
            known = at if self._silence is None else self._silence
            if self._sure and known - start > self._min_speech:
                self._begin = self._padded(start)
        waiting, next_start = self._waiting, at if start is None else start
        if waiting is not None and next_start - waiting.end >= 2 * self._pad:
            self._waiting = None
            self._settled.append(SpeechSpan(waiting.begin, waiting.end + self._pad))

    def _padded(self, start: int) -> int:
        """The begin of a segment whose speech starts at a sample; with it the end of the one before is certain."""
        if (before := self._waiting) is None:
            return max(0, start - self._pad)
        self._waiting = None
        shared = min((start - before.end) // 2, self._pad)
        self._settled.append(SpeechSpan(before.begin, before.end + shared))
        return start - shared

    def _close(self, end: int) -> None:
        """End the speech that goes on; it is dropped where it is too short, or not sure to be any."""
        start = self._start or 0
        if self._begin is not None or (self._sure and end - start > self._min_speech):
            self._waiting = SpeechSpan(self._padded(start) if self._begin is None else self._begin, end)
        self._start = self._silence = self._begin = None
        self._latest.clear()
        self._sure = not self._needed_sum
