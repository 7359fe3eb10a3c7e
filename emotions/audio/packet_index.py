"""Where each packet of a track begins, so that a part of a long recording is decoded without what comes before it."""

from __future__ import annotations

import functools
from array import array
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
import numpy.typing as npt

from emotions.audio.ffmpeg_track import Decoding, default_track
from emotions.audio.stream import Section, own_handle, place_of

IntArray = npt.NDArray[np.int64]

_PREROLL_PACKETS = 12
"""An MP3 frame may hold bits of the next nine; the others carry less over."""
_PREROLL_SEC = 0.25
"""Opus converges within 80 ms (RFC 7845, section 4.6) to what it gives from the start, in 250 ms to 2e-5."""
_TRIAL_PACKETS = 8
_MAX_PACKETS = 2_000_000
_CACHED = 4


@dataclass(frozen=True)
class PacketIndex:
    """The packets of one track.

    Attributes:
        rate: of the track, in Hz.
        times: (packets,) timestamps in units of the track, increasing.
        starts: (packets + 1,) the first decoded sample of each, then the end of the track; the first may be negative,
            since encoders begin with samples that are dropped.
        offsets: (packets,) bytes at which they begin.
    """

    rate: int
    times: IntArray
    starts: IntArray
    offsets: IntArray

    def holding(self, sample: int) -> int:
        """The packet that holds a sample, or the nearest one."""
        return min(max(0, int(np.searchsorted(self.starts, sample, "right")) - 1), len(self.times) - 1)

    def settling(self, sample: int) -> int:
        """The packet to begin at so that the decoder has settled at a sample; 0 for the start of the track."""
        early = self.holding(sample - int(_PREROLL_SEC * self.rate))
        return max(0, min(early, self.holding(sample) - _PREROLL_PACKETS))


def packet_index(file: BinaryIO, demuxer: str) -> PacketIndex | None:
    """The packets of the default track, read without decoding them; remembered for files, not for bytes.

    Args:
        file: the recording.
        demuxer: FFmpeg's short name of its format.

    Returns:
        None where the place of a packet is not certain: timestamps that do not increase or leave gaps, frames of
        another length than their packets say, a packet that cannot be decoded.
    """
    place = place_of(file)
    if place is None:
        with own_handle(file) as handle:
            return _read(handle, demuxer)
    return _remembered(*place, demuxer)


@functools.lru_cache(_CACHED)
def _remembered(path: str, start: int, size: int, changed: int, demuxer: str) -> PacketIndex | None:
    del changed  # a part of the key: another content has another index
    with Path(path).open("rb") as file:
        return _read(cast(BinaryIO, Section(file, start, size)) if start else file, demuxer)


def _read(file: BinaryIO, demuxer: str) -> PacketIndex | None:
    try:
        return _index(file, demuxer)
    except av.FFmpegError:
        return None


def _index(file: BinaryIO, demuxer: str) -> PacketIndex | None:
    times, durations, offsets = array("q"), array("q"), array("q")
    file.seek(0)
    with av.open(file, "r", format=demuxer, metadata_errors="replace") as container:
        track = default_track(container)
        unit = track.time_base
        for packet in container.demux(track):
            if not packet.size:
                continue
            if packet.pts is None or packet.pos is None or len(times) == _MAX_PACKETS:
                return None
            times.append(packet.pts)
            durations.append(packet.duration or 0)
            offsets.append(packet.pos)
    if unit is None or len(times) <= _TRIAL_PACKETS:
        return None
    rate, usual, decoded = _trial(file, demuxer)
    at = np.array(times, np.int64)
    lengths = _lengths(at, np.array(durations, np.int64), rate * unit, usual)
    if lengths is None or usual != lengths[_TRIAL_PACKETS - 1]:
        return None
    dropped = int(lengths[:_TRIAL_PACKETS].sum()) - decoded
    return PacketIndex(rate, at, np.concatenate([[0], np.cumsum(lengths)]) - dropped, np.array(offsets, np.int64))


def _lengths(times: IntArray, durations: IntArray, scale: Fraction, usual: int) -> IntArray | None:
    """Samples of each packet; None where they are not certain.

    Args:
        times: (packets,) timestamps.
        durations: (packets,) in the same units.
        scale: samples in a unit.
        usual: samples of one of the packets.
    """
    if not usual or (np.diff(times) <= 0).any():
        return None
    samples = durations * scale.numerator
    if (samples[:-1] > 0).all() and not (samples % scale.denominator).any():
        return samples // scale.denominator
    # Rounded, as to the milliseconds of Matroska: certain if frames of one length explain every timestamp.
    drift = (times - times[0]) * float(scale) - np.arange(len(times)) * usual
    return None if np.abs(drift).max() > min(usual / 2, 2 * scale) else np.full(len(times), usual, np.int64)


def _trial(file: BinaryIO, demuxer: str) -> tuple[int, int, int]:
    """Rate, samples of a packet, and decoded samples of the first ones, less the delay that is dropped."""
    file.seek(0)
    with av.open(file, "r", format=demuxer, metadata_errors="replace") as container:
        decoding = Decoding(container, default_track(container), 0, [])
        usual = decoded = 0
        for frame in decoding.frames:
            if decoding.packets > _TRIAL_PACKETS:
                break
            usual = frame.samples
            decoded += frame.samples
        return decoding.rate, 0 if decoding.lost else usual, decoded - decoding.delay_left
