"""16-bit PCM of a WAV file, the recording that people send most: read as it is, without a library's detour.

libsndfile gives the same samples; to have it call back for each piece of a body takes as long as everything else that
is done to a short recording before the model.
"""

from __future__ import annotations

import functools
from typing import BinaryIO

import numpy as np

from emotions.audio.stream import Blocks, Stream, block_samples, check_shape, missing_audio, to_mono
from emotions.audio.wave import WaveHeader
from emotions.errors import IncompleteAudio

_SCALE = np.float32(2**-15)
_SAMPLE_BYTES = 2


def open_pcm(file: BinaryIO, header: WaveHeader, channel: int | None = None) -> Stream:
    """The audio of a file as a stream.

    Args:
        file: as ``header`` describes it.
        header: ``is_pcm16``.
        channel: the one to read, from 1; None for the mean of all.

    Raises:
        NotAudio: it has a rate or a number of channels that no recording has.
    """
    rate, channels = header.rate, header.channels
    check_shape(rate, channels)
    flaws: list[IncompleteAudio] = []
    part = functools.partial(_part, file, header, channel, flaws)
    return Stream(rate, channels, part(0, None)[1], flaws, part, _frames(header) * channels)


def _frames(header: WaveHeader) -> int:
    """Samples of each channel."""
    return header.size // (_SAMPLE_BYTES * header.channels)


def _part(
    file: BinaryIO,
    header: WaveHeader,
    channel: int | None,
    flaws: list[IncompleteAudio],
    first: int,
    last: int | None,
) -> tuple[int, Blocks]:
    """As ``Stream.part``: exactly from the first to the last sample."""
    frames = _frames(header)
    first = min(first, frames)
    samples = range(first, frames if last is None else min(last, frames))
    return first, _blocks(file, header, channel, flaws, samples)


def _blocks(
    file: BinaryIO, header: WaveHeader, channel: int | None, flaws: list[IncompleteAudio], wanted: range
) -> Blocks:
    first, last = wanted.start, wanted.stop
    width, most = _SAMPLE_BYTES * header.channels, block_samples(header.rate, header.channels)
    while first < last:
        file.seek(header.start + first * width)
        data = file.read(min(most, last - first) * width)
        frames = len(data) // width
        if not frames:  # the file was cut while it was read
            flaws.append(missing_audio(last - first, header.rate))
            return
        samples = np.frombuffer(data, "<i2", frames * header.channels).reshape(frames, header.channels)
        first += frames
        yield to_mono(np.multiply(samples.T, _SCALE, dtype=np.float32), channel)
