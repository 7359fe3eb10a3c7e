"""MPEG audio (MP1, MP2, MP3): how many frames a stream has, counted from their headers (ISO/IEC 11172-3, 13818-3).

A stream has no length of its own. The first frame may be a tag, ``Xing`` or ``Info``, that counts the frames; a stream
written to a pipe has none, and one joined from several has that of its first part.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

ID3_HEADER_BYTES = 10
_TRAILERS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN")
_MPEG_1 = 3
_LAYER_1, _LAYER_3 = 3, 1
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
# kbit/s by (MPEG-1?, layer bits), for bit rate indices 1 to 14
_KBITS: dict[tuple[bool, int], tuple[int, ...]] = {
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _frame_lengths() -> dict[int, int]:
    """Bytes of a frame by the second and third byte of its header, in one number."""
    lengths = {}
    for second in range(0xE0, 0x100):
        version, layer = second >> 3 & 3, second >> 1 & 3
        if version not in _RATES or not layer:
            continue
        for third in range(0x100):
            index, rate, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
            if 0 < index < 15 and rate < 3:
                bits = 1_000 * _KBITS[version == _MPEG_1, layer][index - 1]
                if layer == _LAYER_1:
                    length = (12 * bits // _RATES[version][rate] + padding) * 4
                else:
                    slots = 72 if layer == _LAYER_3 and version != _MPEG_1 else 144
                    length = slots * bits // _RATES[version][rate] + padding
                lengths[second << 8 | third] = length
    return lengths


_LENGTHS = _frame_lengths()


def id3_bytes(head: bytes) -> int:
    """Size of the ID3v2 tag that a file begins with, in bytes; 0 where there is none in its first ten."""
    if len(head) < ID3_HEADER_BYTES or head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:10]:  # "syncsafe": seven bits a byte
        size = size << 7 | byte & 0x7F
    return ID3_HEADER_BYTES + size + (ID3_HEADER_BYTES if head[5] & 0x10 else 0)


def mpeg_layer(head: bytes) -> int | None:
    """The two layer bits of an MPEG audio frame header (0 is AAC in ADTS), or None where there is no sync word."""
    return (head[1] >> 1) & 3 if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 else None


def counted_by_its_tag(file: BinaryIO) -> bool:
    """Whether a stream has the tag that counts its frames, and the tag counts no fewer than there are.

    Every header is read, so that no number in the file is believed: a decoder that stops at the tag's count then reads
    all of the stream, and a tag that counts more says that it was cut off. An ID3v2 tag may come first.
    """
    size = file.seek(0, os.SEEK_END)
    start = at = id3_bytes(_read(file, 0, ID3_HEADER_BYTES))
    frames = 0
    while (length := _frame_bytes(_read(file, at, 4))) > 0:
        at += length
        frames += 1
    if at < size and not _read(file, at, 11).startswith(_TRAILERS):
        return False  # another stream, or damage: a tag says nothing about what follows
    # The frame of the tag itself is not counted by LAME, and is by some others. libsndfile refuses an empty ID3v2 tag.
    return frames > 0 and start != ID3_HEADER_BYTES and _tagged_frames(_read(file, start, 48)) >= frames - 1


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _frame_bytes(head: bytes) -> int:
    """Bytes of the frame whose header this is; 0 where it is none."""
    return _LENGTHS.get(head[1] << 8 | head[2], 0) if len(head) == 4 and head[0] == 0xFF else 0


def _tagged_frames(frame: bytes) -> int:
    """The count of frames in the ``Xing`` or ``Info`` tag of a frame; 0 where there is none."""
    mpeg_1, mono = (frame[1] >> 3 & 3) == _MPEG_1, frame[3] >> 6 == 3
    side_info = (17 if mono else 32) if mpeg_1 else (9 if mono else 17)
    tag = frame[4 + side_info :][:12]
    if len(tag) < 12 or tag[:4] not in (b"Xing", b"Info"):
        return 0
    flags, frames = struct.unpack(">II", tag[4:])
    return int(frames) if flags & 1 else 0
