"""Where each packet of a compressed track begins, so that a part of a long recording is decoded without its start."""

from __future__ import annotations

import functools
import io
import os
from array import array
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import numpy.typing as npt

_PREROLL_PACKETS = 12
"""An MP3 frame may hold bits of the next nine; the others carry less over."""
_PREROLL_SEC = 0.25
"""Opus converges within 80 ms (RFC 7845, section 4.6) to what it gives from the start, here to 2e-6."""
_TRIAL_PACKETS = 8
_MAX_PACKETS = 2_000_000
_CACHED = 4


@dataclass(frozen=True)
class PacketIndex:
    """The packets of one track.

    Attributes:
        times: (packets,) timestamps in units of the track, increasing.
        starts: (packets + 1,) the first decoded sample of each, then the end of the track; the first may be negative,
            since encoders begin with samples that are dropped.
        offsets: (packets,) bytes at which they begin.
    """

    times: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]

    def holding(self, sample: int) -> int:
        """The packet that holds a sample, or the nearest one."""
        return min(max(0, int(np.searchsorted(self.starts, sample, "right")) - 1), len(self.times) - 1)

    def settling(self, sample: int, rate: int) -> int:
        """The packet to begin at so that the decoder has settled at ``sample``; 0 for the start of the track.

        Args:
            sample: the first that is wanted.
            rate: of the track, in Hz.
        """
        return max(0, min(self.holding(sample - int(_PREROLL_SEC * rate)), self.holding(sample) - _PREROLL_PACKETS))


def own_handle(file: BinaryIO) -> BinaryIO:
    """The same recording, opened once more: whoever reads ``file`` does not notice."""
    return io.BytesIO(file.getvalue()) if isinstance(file, io.BytesIO) else Path(os.fsdecode(file.name)).open("rb")


def packet_index(file: BinaryIO, container_format: str, track: int) -> PacketIndex | None:
    """The packets of a track, read without decoding them; remembered for files, not for bytes.

    Args:
        file: the recording.
        container_format: FFmpeg's short name of its format.
        track: number of the track among the audio tracks.

    Returns:
        None where the place of a packet is not certain: timestamps that do not increase or leave gaps, or frames of
        another length than their packets say.
    """
    if isinstance(file, io.BytesIO):
        return _read(own_handle(file), container_format, track)
    stat = os.fstat(file.fileno())
    return _of_file(os.fsdecode(file.name), stat.st_size, stat.st_mtime_ns, container_format, track)


@functools.lru_cache(_CACHED)
def _of_file(path: str, size: int, changed: int, container_format: str, track: int) -> PacketIndex | None:
    del size, changed  # parts of the key: another content has another index
    with Path(path).open("rb") as file:
        return _read(file, container_format, track)


def _read(file: BinaryIO, container_format: str, track: int) -> PacketIndex | None:
    times, durations, offsets = array("q"), array("q"), array("q")
    with av.open(file, "r", format=container_format, metadata_errors="replace") as container:
        stream = container.streams.audio[track]
        rate, unit = stream.codec_context.sample_rate, stream.time_base
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.pts is None or packet.pos is None or len(times) == _MAX_PACKETS:
                return None
            times.append(packet.pts)
            durations.append(packet.duration or 0)
            offsets.append(packet.pos)
    if unit is None or len(times) <= _TRIAL_PACKETS:
        return None
    at = np.array(times, np.int64)
    decoded = _trial(file, container_format, track)
    lengths = _lengths(at, np.array(durations, np.int64), rate * unit, decoded[-1])
    if lengths is None or decoded[-1] != lengths[len(decoded) - 1]:
        return None
    dropped = int(lengths[: len(decoded)].sum()) - sum(decoded)
    return PacketIndex(at, np.concatenate([[0], np.cumsum(lengths)]) - dropped, np.array(offsets, np.int64))


def _lengths(
    times: npt.NDArray[np.int64], durations: npt.NDArray[np.int64], scale: Fraction, usual: int
) -> npt.NDArray[np.int64] | None:
    """Samples of each packet; None where they are not certain.

    Args:
        times: (packets,) timestamps.
        durations: (packets,) in the same units.
        scale: samples in a unit.
        usual: samples of one of the packets.
    """
    if (np.diff(times) <= 0).any():
        return None
    exact = durations * scale.numerator
    if (exact[:-1] > 0).all() and not (exact % scale.denominator).any():
        return exact // scale.denominator
    # Rounded, as to the milliseconds of Matroska: certain if frames of one length explain every timestamp.
    drift = (times - times[0]) * float(scale) - np.arange(len(times)) * usual
    return None if not usual or np.abs(drift).max() > min(usual / 2, 2 * scale) else np.full(len(times), usual)


def _trial(file: BinaryIO, container_format: str, track: int) -> list[int]:
    """Samples that the first packets decode to: fewer than they hold where the encoder's delay is dropped."""
    file.seek(0)
    sizes = [0]
    with av.open(file, "r", format=container_format, metadata_errors="replace") as container:
        for packet in container.demux(container.streams.audio[track]):
            sizes.append(sum(frame.samples for frame in packet.decode()))
            if len(sizes) > _TRIAL_PACKETS:
                break
    return sizes[1:]
