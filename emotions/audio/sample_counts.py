"""How many samples a header counts, before a decoder makes room for as many.

Sources: RFC 9639 (FLAC), RFC 3533 (Ogg), 7845 (Opus), the Vorbis I specification, ISO/IEC 14496-12 (MP4).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from emotions.errors import NotAudio

_LOOK_BYTES = 64 << 10
_FLAC_HEAD = 42
_OPUS_RATE_CHANNELS = 9
_VORBIS_CHANNELS = 11
_PAGE_HEAD = 27
_NO_GRANULE = (1 << 64) - 1
_PARENTS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex"})
_COUNT_AT = {
    **dict.fromkeys((b"stts", b"ctts", b"stss", b"stsc", b"stco", b"co64", b"elst", b"trun"), 4),
    **dict.fromkeys((b"stsz", b"stz2"), 8),
}
"""Boxes with a table: where in their content the number of its entries stands."""
_FEW = 1 << 20
"""So many entries may be claimed by any file: one that was cut off claims more than it still has."""
_MAX_BOXES = 200_000


def claimed_samples(file: BinaryIO, demuxer: str) -> int:
    """Samples of all channels together that a compressed recording's header counts; 0 where it does not simply say.

    Args:
        file: the recording.
        demuxer: FFmpeg's name of its format.
    """
    if demuxer not in ("flac", "ogg"):
        return 0
    file.seek(0)
    head = file.read(_LOOK_BYTES if demuxer == "ogg" else _FLAC_HEAD)
    if demuxer == "ogg":
        return _ogg_samples(file, head)
    numbers = int.from_bytes(head[18:26], "big") if len(head) == _FLAC_HEAD else 0
    return (numbers & (1 << 36) - 1) * ((numbers >> 41 & 7) + 1)


def _ogg_samples(file: BinaryIO, head: bytes) -> int:
    """From the first to the last granule position: a recording from the midst of a stream does not begin at 0."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - _LOOK_BYTES))
    granules = [*_granules(head)], [*_granules(file.read(_LOOK_BYTES))]
    if not granules[0] or not granules[1]:
        return 0
    return max(0, granules[1][-1] - granules[0][0]) * _ogg_channels(head)


def _ogg_channels(head: bytes) -> int:
    if (at := head.find(b"\x01vorbis", 0, 512)) >= 0:
        return head[at + _VORBIS_CHANNELS]
    if (at := head.find(b"OpusHead", 0, 512)) >= 0:
        return head[at + _OPUS_RATE_CHANNELS]
    return 1


def _granules(data: bytes) -> Iterator[int]:
    """The positions of the pages with audio that end in them."""
    at = data.find(b"OggS")
    while 0 <= at <= len(data) - _PAGE_HEAD:
        granule = int.from_bytes(data[at + 6 : at + 14], "little")
        if granule not in (0, _NO_GRANULE):
            yield granule
        at = data.find(b"OggS", at + 4)


def check_tables(file: BinaryIO) -> None:
    """Refuse an MP4 whose tables count more samples than the file has bytes: FFmpeg would make room for all of them.

    Args:
        file: the recording.

    Raises:
        NotAudio: a table counts more than there can be.
    """
    end = file.seek(0, os.SEEK_END)
    waiting, seen = [(0, end)], 0
    while waiting:
        at, stop = waiting.pop()
        while at + 8 <= stop:
            seen += 1
            if seen > _MAX_BOXES:
                raise NotAudio(f"has more than {_MAX_BOXES} boxes")
            name, start, at = _box(file, at, stop)
            if name in _PARENTS:
                waiting.append((start, at))
            elif name in _COUNT_AT:
                _check_count(file, name, start, end)


def _box(file: BinaryIO, at: int, stop: int) -> tuple[bytes, int, int]:
    """Name of the box at a place, where its content begins, and where it ends, at most at ``stop``."""
    file.seek(at)
    head = file.read(16)
    size, start = int.from_bytes(head[:4], "big"), at + 8
    if size == 1:
        size, start = int.from_bytes(head[8:16], "big"), at + 16
    following = stop if size < start - at else min(stop, at + size)
    return head[4:8], start, following


def _check_count(file: BinaryIO, name: bytes, start: int, end: int) -> None:
    file.seek(start)
    content = file.read(12)
    at = _COUNT_AT[name]
    count = int.from_bytes(content[at : at + 4], "big")
    if count > max(end, _FEW):
        raise NotAudio(f"its table {name.decode()} counts {count} entries, in a file of {end} bytes")
