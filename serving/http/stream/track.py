"""One channel of a stream: its samples in, what happens in them out. No input, no output, no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from emotions.audio.decode import MIN_SAMPLES, SAMPLE_RATE, SILENCE_PEAK
from emotions.audio.signal_measure import Signal, SignalMeter
from emotions.audio.speech.detector import SpeechDetector
from emotions.audio.speech.network import SpeechNetwork
from emotions.audio.speech.segmenter import SegmentOptions, SpeechSpan
from emotions.audio.speech.windows import SpeechPiece, SpeechPieces
from emotions.audio.windows import FloatArray, Windows, WindowSpec, WindowSplitter

Trigger = Literal["interval", "speech_stopped"]


@dataclass(frozen=True, eq=False)
class Utterance:
    """A segment of speech, or all of the audio where speech is not looked for: from sample ``begin``, at 16 kHz."""

    channel: int
    begin: int


@dataclass(frozen=True)
class Started:
    """Speech has started."""

    utterance: Utterance


@dataclass(frozen=True)
class Cut:
    """Windows of the utterance as a whole, to be classified; their starts count from the stream's begin."""

    utterance: Utterance
    windows: Windows


@dataclass(frozen=True)
class Due:
    """A measurement is due: of one window, to be classified; None for the last one of the utterance that was cut."""

    utterance: Utterance
    window: Windows | None


@dataclass(frozen=True)
class Stopped:
    """The utterance has ended at a sample, exclusive; all its windows were cut.

    Attributes:
        audible: it is no silence.
        signal: what it sounds like, where utterances are measured.
    """

    utterance: Utterance
    end: int
    audible: bool = True
    signal: Signal | None = None


Event = Started | Cut | Due | Stopped


class Track:
    """One channel.

    Args:
        channel: its number.
        spec: window and hop.
        interval_ms: milliseconds of an utterance between two measurements.
        network: finds speech; None where all of the audio is one utterance.
        measures: whether what an utterance sounds like is measured.
    """

    def __init__(
        self, channel: int, spec: WindowSpec, interval_ms: int, network: SpeechNetwork | None, *, measures: bool = False
    ) -> None:
        self.detector = None if network is None else SpeechDetector(network)
        self._channel, self._spec = channel, spec
        self._interval = interval_ms * SAMPLE_RATE // 1000
        self._pieces = SpeechPieces()
        self._utterance: Utterance | None = None
        self._splitter = WindowSplitter(spec)
        self._last_cut = -1  # start of the last window
        self._measured = self._due = 0  # samples of the utterance
        self._peak = 0.0
        self._measures, self._meter = measures, SignalMeter()
        # What is due in the silence behind speech is known only when speech has stopped, which is measured anyway.
        self._margin = round(SegmentOptions().pad_sec * SAMPLE_RATE)

    def take(self, samples: FloatArray, closed: Sequence[SpeechSpan] = ()) -> Iterator[Event]:
        """Take the next samples.

        Args:
            samples: (samples,) float32 at 16 kHz.
            closed: the segments that the detector gave when it was given them.
        """
        if self.detector is None:
            yield from self._extend(SpeechPiece(0, samples, last=False))
            return
        for piece in self._pieces.push(samples, closed, self.detector.segmenter):
            yield from self._extend(piece)

    def measure(self) -> Iterator[Event]:
        """A measurement of what came since the last one, if an utterance goes on."""
        if self._utterance is not None and self._splitter.samples > self._measured:
            yield from self._measure(self._utterance)

    def finish(self) -> Iterator[Event]:
        """The end of the stream."""
        rest = np.zeros(0, np.float32)
        self._margin = 0
        if self.detector is not None:
            yield from self.take(rest, self.detector.finish())
        elif self._splitter.samples >= MIN_SAMPLES:
            yield from self._extend(SpeechPiece(0, rest, last=True))

    def _extend(self, piece: SpeechPiece) -> Iterator[Event]:
        utterance = self._utterance
        if utterance is None:
            utterance = self._begin(piece.begin)
            if self.detector is not None:
                yield Started(utterance)
        rest = piece.samples
        end = self._splitter.samples + len(rest) - (self._margin if piece.last else 0)
        while self._due <= end:
            room = self._due - self._splitter.samples
            yield from self._cut(utterance, rest[:room])
            yield from self._measure(utterance)
            rest = rest[room:]
            self._due += self._interval
        yield from self._cut(utterance, rest, last=piece.last)
        if piece.last:
            self._utterance = None
            end = utterance.begin + self._splitter.samples
            signal = self._meter.signal() if self._measures else None
            yield Stopped(utterance, end, self._peak >= SILENCE_PEAK, signal)

    def _begin(self, begin: int) -> Utterance:
        self._utterance = Utterance(self._channel, begin)
        self._splitter, self._last_cut = WindowSplitter(self._spec), -1
        self._measured, self._due = 0, self._interval
        self._meter = SignalMeter()
        return self._utterance

    def _cut(self, utterance: Utterance, samples: FloatArray, *, last: bool = False) -> Iterator[Event]:
        self._peak = max(self._peak, _peak(samples))
        if self._measures:
            self._meter.push(samples)
        windows = self._splitter.push(samples, last=last)
        if len(windows):
            self._last_cut = int(windows.starts[-1])
            yield Cut(utterance, replace(windows, starts=windows.starts + utterance.begin))

    def _measure(self, utterance: Utterance) -> Iterator[Event]:
        self._measured = self._splitter.samples
        latest = self._splitter.latest()
        if latest.lengths[0] < MIN_SAMPLES or _peak(latest.samples[0]) < SILENCE_PEAK:
            return
        start = int(latest.starts[0])
        window = None if start == self._last_cut else replace(latest, starts=latest.starts + utterance.begin)
        yield Due(utterance, window)


def _peak(samples: FloatArray) -> float:
    return float(max(samples.max(initial=0), -samples.min(initial=0)))
