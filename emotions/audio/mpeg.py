"""MPEG audio (MP1, MP2, MP3) and ADTS: where a stream's frames begin, and how many its tag counts.

Sources: ISO/IEC 11172-3, 13818-3 (frame headers), 13818-7 (ADTS). A stream has no length of its own. The first frame
of an MP3 may be a tag, ``Xing``, ``Info`` or ``VBRI``, that counts the frames; a stream written to a pipe has none.
"""

from __future__ import annotations

import struct

ID3 = b"ID3"
"""What an ID3v2 tag begins with."""
ID3_HEADER_BYTES = 10
RESYNC_BYTES = 64 << 10
"""How far into a file a stream's first frame is looked for, as FFmpeg does."""
_RESYNC_FRAMES = 4
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


def id3_bytes(head: bytes) -> int:
    """Size of the ID3v2 tag that a file begins with, in bytes; 0 where there is none in its first ten."""
    if len(head) < ID3_HEADER_BYTES or head[:3] != ID3:
        return 0
    size = 0
    for byte in head[6:10]:  # "syncsafe": seven bits a byte
        size = size << 7 | byte & 0x7F
    return ID3_HEADER_BYTES + size + (ID3_HEADER_BYTES if head[5] & 0x10 else 0)


def mpeg_layer(head: bytes) -> int | None:
    """The two layer bits of an MPEG audio frame header (0 is AAC in ADTS), or None where there is no sync word."""
    return (head[1] >> 1) & 3 if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 else None


def first_frame(head: bytes) -> int | None:
    """Where the first frame of a stream begins that has something else in front of it.

    Args:
        head: the file's first bytes, a few more than ``RESYNC_BYTES``.

    Returns:
        Offset of the first of several frames in a row, all of one kind; None where there is none.
    """
    at = head.find(b"\xff", 0, RESYNC_BYTES)
    while at >= 0:
        if _frames_in_row(head, at) == _RESYNC_FRAMES:
            return at
        at = head.find(b"\xff", at + 1, RESYNC_BYTES)
    return None


def _frames_in_row(data: bytes, at: int) -> int:
    """Frames of one version, layer and rate that follow each other from ``at``, at most ``_RESYNC_FRAMES``."""
    kind, frames = (data[at + 1] & 0xFE, data[at + 2] & 0x0C) if at + 2 < len(data) else (0, 0), 0
    while frames < _RESYNC_FRAMES and (length := frame_bytes(data[at : at + 6])):
        if (data[at + 1] & 0xFE, data[at + 2] & 0x0C) != kind:
            break
        at += length
        frames += 1
    return frames


def frame_bytes(head: bytes) -> int:
    """Bytes of the frame whose header begins with these six; 0 where it is none, or of free format."""
    layer = mpeg_layer(head)
    if layer is None or len(head) < 6:
        return 0
    if layer == 0:  # ADTS: 13 bits of length, header included
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return length if head[1] & 0xF0 == 0xF0 and length > 7 else 0
    version, index, rate, padding = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version not in _RATES or not 0 < index < 15 or rate == 3:
        return 0
    bits = 1_000 * _KBITS[version == _MPEG_1, layer][index - 1]
    if layer == _LAYER_1:
        return (12 * bits // _RATES[version][rate] + padding) * 4
    slots = 72 if layer == _LAYER_3 and version != _MPEG_1 else 144
    return slots * bits // _RATES[version][rate] + padding


def tagged_frames(frame: bytes) -> int:
    """The count of frames in the tag that a stream's first frame holds; 0 where there is none.

    Args:
        frame: the stream's first bytes, 64 are enough.
    """
    if not mpeg_layer(frame) or len(frame) < 56:
        return 0
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[50:54], "big")
    mpeg_1, mono = (frame[1] >> 3 & 3) == _MPEG_1, frame[3] >> 6 == 3
    side_info = (17 if mono else 32) if mpeg_1 else (9 if mono else 17)
    tag = frame[4 + side_info :][:12]
    if tag[:4] not in (b"Xing", b"Info"):
        return 0
    flags, frames = struct.unpack(">II", tag[4:])
    return int(frames) if flags & 1 else 0
