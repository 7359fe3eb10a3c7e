"""Streaming: a recording of any length to its windows, part by part, with no more than a part of it in memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import numpy as np

from emotions.audio import decode
from emotions.audio.containers import Blocks, Source, open_stream
from emotions.audio.windows import FloatArray, Windows, WindowSpec, split, window_starts
from emotions.errors import TooShort
from emotions.inputs.input_file import InputFile, is_url

_PART_SEC = 30
_PART_WINDOWS = 4
"""A part holds as much of a recording as the larger of these."""


def window_parts(file: InputFile, spec: WindowSpec) -> Iterator[Windows]:
    """Decode a recording, or a segment of it, and cut it into windows.

    Yields:
        The windows of ``windows.split``, in order, a part at a time; only a long recording has several parts. One
        shorter than a window is not padded: the batch that it goes into is. Starts count from the segment's beginning.

    Raises:
        AudioError: as ``audio.decode``; of a long recording perhaps after some parts.
        OSError: it cannot be read.
    """
    with open_stream(_content(file)) as stream:
        blocks = decode.resampled(stream.blocks, stream.rate)
        if file.start is not None or file.end is not None:
            blocks = _segment(blocks, file)
        yield from _parts(blocks, spec)


def _content(file: InputFile) -> Source:
    """What to decode: a path, or the bytes behind a URL."""
    if is_url(file.source):
        from emotions.inputs.remote import fetch

        return fetch(str(file.source))
    if file.path.is_dir():
        next(file.path.iterdir(), None)  # says why, where a folder cannot be read
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return file.path


def _segment(blocks: Blocks, file: InputFile) -> Blocks:
    """The blocks between a segment's start and end."""
    first = round((file.start or 0.0) * decode.SAMPLE_RATE)
    last = None if file.end is None else round(file.end * decode.SAMPLE_RATE)
    at = 0
    for block in blocks:
        wanted = block[max(0, first - at) : None if last is None else max(0, last - at)]
        at += len(block)
        if len(wanted):
            yield wanted
        if last is not None and at >= last:
            break
    if 0 < first >= at:
        raise TooShort(f"starts at {file.start:g} s, where the recording has ended")


def _parts(blocks: Blocks, spec: WindowSpec) -> Iterator[Windows]:
    """Windows of a stream at 16 kHz. The buffer keeps the samples that a later window may still begin with."""
    buffer, base, emitted, peak = np.zeros(0, np.float32), 0, 0, 0.0
    for part, last in _gathered(blocks, max(_PART_SEC * decode.SAMPLE_RATE, _PART_WINDOWS * spec.samples)):
        if last and not base and not len(buffer):
            yield _whole(decode.checked(part), spec)
            return
        peak = max(peak, decode.peak_of(part))
        if last:
            decode.check_not_silent(peak)
        buffer = np.concatenate([buffer, part])
        starts = _starts(base + len(buffer), spec, last)[emitted:]
        emitted += len(starts)
        if len(starts):
            view = np.lib.stride_tricks.sliding_window_view(buffer, spec.samples)
            yield Windows(view[starts - base], np.full(len(starts), spec.samples, np.int64), starts)
        keep = max(base, min(emitted * spec.hop_samples, base + len(buffer) - spec.samples))
        buffer, base = buffer[keep - base :], keep


def _whole(waveform: FloatArray, spec: WindowSpec) -> Windows:
    """The windows of a whole recording; a short one as it is, so that it is copied but once."""
    if len(waveform) >= spec.samples:
        return split(waveform, spec)
    return Windows(waveform[None], np.array([len(waveform)], np.int64), np.zeros(1, np.int64))


def _starts(samples: int, spec: WindowSpec, last: bool) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Starts of the windows that are certain once so many samples are known: all but one that would be moved back."""
    if last:
        return window_starts(samples, spec)
    return np.arange(0, samples - spec.samples + 1, spec.hop_samples, dtype=np.int64)


def _gathered(blocks: Blocks, enough: int) -> Iterator[tuple[FloatArray, bool]]:
    """Blocks joined to parts of at least ``enough`` samples, each with whether it is the last; at least one part."""
    held: list[FloatArray] = []
    samples = 0
    for block in blocks:
        if samples >= enough:
            yield _joined(held), False
            held, samples = [], 0
        held.append(block)
        samples += len(block)
    yield _joined(held), True


def _joined(blocks: list[FloatArray]) -> FloatArray:
    return blocks[0] if len(blocks) == 1 else np.concatenate([*blocks, np.zeros(0, np.float32)])
