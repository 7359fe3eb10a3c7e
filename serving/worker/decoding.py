"""Decoding for requests: plain recordings in threads, others in decoders, the quick before the slow ones.

A recording that is not plain, or is long, goes first to a lane for quick ones, and if it is not done there in a
moment, to one for slow ones. Each lane says how long it takes, and refuses what would wait longer than it may: so none
is queued past its deadline, and slow ones delay each other alone.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from emotions.audio import decode
from emotions.audio.decode import ReadOptions, Recording
from emotions.audio.decoders.cancellation import Cancellation
from emotions.audio.decoders.pool import decoder_pool
from emotions.audio.decoders.protocol import DecoderLimits
from emotions.audio.decoders.read import SUPPORTED, in_decoder
from emotions.audio.signal_measure import Signal, measure_signal
from emotions.audio.speech.windows import Segments, Speech
from emotions.audio.stream import Blocks, NotPlain, Stream
from emotions.audio.windows import FloatArray, Windows
from emotions.errors import IncompleteAudio, NoChannel, Overloaded, TooLong
from serving.settings import Settings

Clip = IO[bytes] | Path | FloatArray
"""A recording: a file, the path of one, or its samples (samples,) at 16 kHz."""
Split = Callable[[Segments, FloatArray], tuple[Windows, Speech | None]]

_QUICK_SEC = 0.3
"""A decoding that takes longer is a slow one."""
_SAMPLES_A_BYTE = 12
"""Samples of all channels that a byte of compressed speech usually stands for."""
_SAMPLES_A_SECOND = 2e7
"""Decoded in a second, until there is a figure of this machine."""
_LONG = _QUICK_SEC * _SAMPLES_A_SECOND if SUPPORTED else float("inf")
"""Samples of all channels from which a plain recording is long: the short ones behind it need not wait for it."""
_SHORT_BYTES = 192 << 10
"""Of a plain recording that is decoded at once: a few seconds take 0.1 ms, and several times that where threads hand
the interpreter's lock to each other for it."""
_WEIGHT, _SLOW_WEIGHT = 0.05, 0.3
"""Weight of the last one in the moving averages of speed and of the time of slow ones."""
T = TypeVar("T")


@dataclass(frozen=True)
class Selection:
    """What of a recording is cut into windows.

    Attributes:
        split: cuts a waveform (samples,), or its speech, into windows; those of the model that is asked.
        segments: all of it, or its speech.
        channel: the one to read, from 1; None for the mean of all.
        measures: whether what it sounds like is measured, too.
    """

    split: Split
    segments: Segments = "windows"
    channel: int | None = None
    measures: bool = False


@dataclass(frozen=True)
class Decoded:
    """The windows of a recording.

    Attributes:
        speech: where it is, where only speech was cut into windows.
        flaws: what is missing in it.
        started: ``time.perf_counter`` at which decoding began.
        seconds: that it took, the splitting into windows included.
        signal: what the recording sounds like, where recordings are measured.
    """

    windows: Windows
    speech: Speech | None
    flaws: tuple[IncompleteAudio, ...]
    started: float
    seconds: float
    signal: Signal | None = None


class _Long(NotPlain):
    """Raised of a plain recording that is long."""


class _Lane:
    """Threads that wait for decoders, and how many seconds of work are queued for them."""

    def __init__(self, name: str, threads: int) -> None:
        self.threads = threads
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._queued_sec = 0.0

    async def run(
        self,
        estimate: float,
        work: Callable[[IO[bytes] | Path, Cancellation], T],
        source: IO[bytes] | Path,
        cancellation: Cancellation,
    ) -> T:
        """Run ``work`` in a thread in its turn; Overloaded where that comes too late.

        Args:
            estimate: seconds that it takes.
            work: what to run.
            source: the recording.
            cancellation: ends it.
        """
        wait, left = self._queued_sec / self.threads, cancellation.left()
        if left is not None and wait > left:
            raise Overloaded(f"the recordings that wait to be decoded take about {wait:.1f} s; try again later")
        self._queued_sec += estimate
        try:
            return await asyncio.get_running_loop().run_in_executor(self.executor, work, source, cancellation)
        finally:
            self._queued_sec = max(0.0, self._queued_sec - estimate)


class RequestDecoder:
    """Decodes the recordings of one worker, for all its models. Belongs to one event loop; close it at the end.

    Args:
        settings: the service's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = settings.decode_threads or settings.cores
        self._plain = ThreadPoolExecutor(self._threads, thread_name_prefix="decode")
        self._quick = _Lane("quick", max(2, self._threads))
        self._slow = _Lane("slow", max(1, self._threads // 2))
        self._options = ReadOptions(settings.strict, None, None, settings.max_seconds, settings.sample_limit)
        self._limits = DecoderLimits(settings.decoder_memory, settings.decoder_cpu_sec)
        self._warming: Future[None] | None = None
        self._speed = _SAMPLES_A_SECOND
        self._slow_sec = _QUICK_SEC  # that a slow one took, of late

    def begin_warm_up(self) -> None:
        """Start the decoders, in a thread; ``warm_up`` waits for them."""
        if self._warming is None and SUPPORTED:
            self._warming = self._plain.submit(decoder_pool().warm_up, self._quick.threads + self._slow.threads)

    def warm_up(self) -> None:
        """Start the decoders, and return when they are ready."""
        self.begin_warm_up()
        if self._warming is not None:
            self._warming.result()

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call a function that uses the CPU for a while in a thread, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._plain, work, *arguments)

    async def windows(self, source: Clip, left: float, selection: Selection) -> Decoded:
        """Decode a recording; cancelling ends its decoder.

        Args:
            source: a file, the path of one, or its samples (samples,) float32 at 16 kHz.
            left: seconds after which the windows are of no use.
            selection: what of it is cut into windows.

        Raises:
            AudioError: the recording cannot be used.
            Overloaded: its turn would come too late.
            TimeoutError: it has taken ``left`` seconds.
        """
        cancellation = Cancellation(time.monotonic() + left)
        try:
            if isinstance(source, np.ndarray):
                return await self.in_thread(self._of_samples, source, selection)
            try:
                if SUPPORTED and selection.segments == "windows" and _is_short(source):
                    return self._of_plain(source, cancellation, selection)
                return await self.in_thread(self._of_plain, source, cancellation, selection)
            except _Long as found:
                samples = found.claimed
            except NotPlain as found:
                self._options.check_claimed(found.claimed)
                samples = max(found.claimed, _bytes(source) * _SAMPLES_A_BYTE)
            return await self._by_decoder(source, samples, cancellation, selection)
        finally:
            cancellation.cancel()

    async def _by_decoder(
        self, source: IO[bytes] | Path, samples: int, cancellation: Cancellation, selection: Selection
    ) -> Decoded:
        estimate = samples / self._speed
        if estimate <= _QUICK_SEC:
            try:
                return await self._quick.run(estimate, partial(self._quickly, selection), source, cancellation)
            except TimeoutError:
                cancellation.check()
        estimate = max(estimate, self._slow_sec)
        return await self._slow.run(estimate, partial(self._slowly, selection), source, cancellation)

    def _quickly(self, selection: Selection, source: IO[bytes] | Path, cancellation: Cancellation) -> Decoded:
        with cancellation.within(_QUICK_SEC):
            return self._by_process(source, cancellation, selection)

    def _slowly(self, selection: Selection, source: IO[bytes] | Path, cancellation: Cancellation) -> Decoded:
        started = time.monotonic()
        try:
            return self._by_process(source, cancellation, selection)
        finally:
            self._slow_sec += _SLOW_WEIGHT * (time.monotonic() - started - self._slow_sec)

    def _by_process(self, source: IO[bytes] | Path, cancellation: Cancellation, selection: Selection) -> Decoded:
        started = time.perf_counter()
        options = replace(self._options, channel=selection.channel)
        with in_decoder(_content(source), options, limits=self._limits, cancellation=cancellation) as stream:
            recording = decode.recording_of(stream)
        samples = len(recording.waveform) * recording.rate / decode.SAMPLE_RATE * recording.channels
        speed = samples / (time.perf_counter() - started)
        self._speed += _WEIGHT * (speed - self._speed)
        return self._decoded(recording, started, selection)

    def _of_plain(self, source: IO[bytes] | Path, cancellation: Cancellation, selection: Selection) -> Decoded:
        started = time.perf_counter()
        options = replace(self._options, channel=selection.channel)
        with decode.open_waveform(_content(source), options, plain=SUPPORTED) as stream:
            if stream.claimed > _LONG:
                raise _Long(stream.claimed)
            blocks = _until(stream, cancellation)
            recording = decode.recording_of(replace(stream, blocks=blocks))
        return self._decoded(recording, started, selection)

    def _of_samples(self, samples: FloatArray, selection: Selection) -> Decoded:
        started, limit = time.perf_counter(), self._settings.max_seconds
        if selection.channel is not None and selection.channel > 1:
            raise NoChannel(f"a waveform has one channel, so there is none of the number {selection.channel}")
        if len(samples) > limit * decode.SAMPLE_RATE:
            raise TooLong(f"longer than {limit:g} s")
        return self._decoded(Recording(samples, decode.SAMPLE_RATE, 1), started, selection)

    def _decoded(self, recording: Recording, started: float, selection: Selection) -> Decoded:
        windows, speech = selection.split(selection.segments, decode.checked(recording.waveform))
        signal = measure_signal(recording.waveform) if selection.measures else None
        return Decoded(windows, speech, recording.flaws, started, time.perf_counter() - started, signal)

    async def channels(self, source: IO[bytes] | Path, left: float) -> int:
        """How many channels a recording has, by what is read of its beginning. Args and Raises as ``windows``."""
        cancellation = Cancellation(time.monotonic() + left)
        try:
            try:
                return await self.in_thread(self._plain_channels, source)
            except NotPlain:
                return await self._quick.run(0.0, self._other_channels, source, cancellation)
        finally:
            cancellation.cancel()

    def _plain_channels(self, source: IO[bytes] | Path) -> int:
        with decode.open_waveform(_content(source), self._options, plain=SUPPORTED) as stream:
            return stream.channels

    def _other_channels(self, source: IO[bytes] | Path, cancellation: Cancellation) -> int:
        with in_decoder(_content(source), self._options, limits=self._limits, cancellation=cancellation) as stream:
            return stream.channels

    def close(self) -> None:
        """Stop the threads."""
        for executor in (self._plain, self._quick.executor, self._slow.executor):
            executor.shutdown(wait=True, cancel_futures=True)


def _content(source: IO[bytes] | Path) -> Path | bytes:
    """What to decode. Only here a recording is in memory as a whole: at most one for each thread."""
    if isinstance(source, Path):
        return source
    source.seek(0)
    return source.read()


def _is_short(source: IO[bytes] | Path) -> bool:
    """Whether a recording is so short that to decode it costs less than to hand it to a thread and back."""
    return not isinstance(source, Path) and not getattr(source, "_rolled", True) and _bytes(source) <= _SHORT_BYTES


def _bytes(source: IO[bytes] | Path) -> int:
    return source.stat().st_size if isinstance(source, Path) else source.seek(0, os.SEEK_END)


def _until(stream: Stream, cancellation: Cancellation) -> Blocks:
    """The blocks of a plain recording until it is cancelled, or turns out to be long."""
    samples = 0.0
    for block in stream.blocks:
        cancellation.check()
        samples += len(block) * stream.rate / decode.SAMPLE_RATE * stream.channels
        if samples > _LONG:
            raise _Long(round(samples))
        yield block
