"""The top level of containers: elements of a size each, by which a file that was cut off or joined is noticed.

Sources: EA IFF 85 (AIFF), Apple's Core Audio Format, Sony's Wave64, ISO/IEC 14496-12 (MP4), RFC 8794 and 9559 (EBML,
Matroska), Microsoft's Advanced Systems Format, RFC 3533 (Ogg). No size is believed: each is compared with the file's.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from emotions.errors import NotAudio, Truncated

_MAX_ELEMENTS = 1_000_000
# Sizes from here on are placeholders that a recorder writes when it streams.
_OPEN_32 = 0x7F000000
_OPEN_64 = 1 << 40
_SEGMENT = 0x18538067
_OGG_PAGE_BYTES, _OGG_MOST_BYTES = 27, 27 + 255 + 255 * 255
_OGG_LAST = 4


@dataclass(frozen=True)
class _Layout:
    """Elements from byte ``first`` on: ``size`` tells their bytes from the first ``head`` ones, None if to the end."""

    first: int
    head: int
    size: Callable[[bytes], int | None]
    begins: bytes = b""
    """What a second recording would begin with, at ``begins_at`` of an element."""
    begins_at: int = 0
    align: int = 1


def is_name(name: bytes) -> bool:
    """Whether four bytes can name a chunk: printable, as whatever stands behind the last one hardly is."""
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def _aiff(head: bytes) -> int | None:
    size = int.from_bytes(head[4:8], "big")
    return None if size >= _OPEN_32 or not is_name(head[:4]) else 8 + size


def _au(head: bytes) -> int | None:
    start, size = struct.unpack_from(">II", head, 4)
    return None if size >= _OPEN_32 or head[:4] != b".snd" else int(start + size)


def _caf(head: bytes) -> int | None:
    size = int.from_bytes(head[4:12], "big", signed=True)
    return None if not 0 <= size < _OPEN_64 or not is_name(head[:4]) else 12 + size


def _w64(head: bytes) -> int | None:
    size = int.from_bytes(head[16:24], "little")
    return None if size < 24 or size >= _OPEN_64 else size


def _mp4(head: bytes) -> int | None:
    size = int.from_bytes(head[:4], "big")
    if size == 1:
        size = int.from_bytes(head[8:16], "big")
    return None if size < 8 or not is_name(head[4:8]) else size


def _asf(head: bytes) -> int | None:
    size = int.from_bytes(head[16:24], "little")
    return None if size < 24 or size >= _OPEN_64 else size


def _matroska(head: bytes) -> int | None:
    """An EBML element's bytes; of a segment, and of what has no size, only the header's: its elements follow."""
    name, name_bytes = _ebml_number(head, keep_marker=True)
    size, size_bytes = _ebml_number(head[name_bytes:], keep_marker=False)
    if not name_bytes or not size_bytes:
        return None
    header = name_bytes + size_bytes
    return header if name == _SEGMENT or size == (1 << 7 * size_bytes) - 1 else header + size


def _ebml_number(data: bytes, *, keep_marker: bool) -> tuple[int, int]:
    """A number of variable length and its bytes; no bytes where there is none."""
    length = 9 - data[0].bit_length() if data else 9
    if length > min(8, len(data)):
        return 0, 0
    number = int.from_bytes(data[:length], "big")
    return (number if keep_marker else number & ((1 << 7 * length) - 1)), length


_LAYOUTS = {
    "aiff": _Layout(12, 8, _aiff, b"FORM", align=2),
    "au": _Layout(0, 24, _au, b".snd"),
    "caf": _Layout(8, 12, _caf, b"caff"),
    "w64": _Layout(40, 24, _w64, b"riff\x2e\x91\xcf\x11", align=8),
    "mov": _Layout(0, 16, _mp4, b"ftyp", begins_at=4),
    "matroska": _Layout(0, 12, _matroska),  # FFmpeg finds the second of two that are joined
    "asf": _Layout(0, 24, _asf, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
}


def check_end(file: BinaryIO, demuxer: str) -> Truncated | None:
    """Whether a file ends where its container says.

    Args:
        file: the recording.
        demuxer: FFmpeg's name of its format.

    Returns:
        Why it is cut off; None where it is not, or where its format does not tell.

    Raises:
        NotAudio: another recording follows, which no decoder would find, or there are more elements than any has.
    """
    end = file.seek(0, os.SEEK_END)
    if demuxer == "ogg":
        return _ogg_end(file, end)
    layout = _LAYOUTS.get(demuxer)
    return None if layout is None else _elements_end(file, end, layout)


def cut_off(missing: int) -> Truncated:
    """What a file is that ends so many bytes before its header says."""
    return Truncated(f"is cut off: {missing} bytes of what its header promises are missing")


def refuse_joined() -> NotAudio:
    """What a file is in which a second recording follows that no decoder would find."""
    return NotAudio("holds several recordings, one behind the other, and only the first would be read; split them")


def _elements_end(file: BinaryIO, end: int, layout: _Layout) -> Truncated | None:
    at = layout.first
    for number in range(_MAX_ELEMENTS):
        file.seek(at)
        head = file.read(layout.head)
        if number and layout.begins and head[layout.begins_at :].startswith(layout.begins):
            raise refuse_joined()
        size = layout.size(head.ljust(layout.head, b"\0")) if head else None
        if size is None:
            return None
        if at + size > end:
            return cut_off(at + size - end)
        at += -(-size // layout.align) * layout.align
    raise NotAudio(f"has more than {_MAX_ELEMENTS} elements")


def _ogg_end(file: BinaryIO, end: int) -> Truncated | None:
    """An Ogg file ends with a whole page, which says that it is the last."""
    start = max(0, end - 2 * _OGG_MOST_BYTES)
    file.seek(start)
    data = file.read(end - start)
    at = data.rfind(b"OggS")
    if at < 0:
        return None
    segments = data[at + _OGG_PAGE_BYTES :][: data[at + 26]] if at + 26 < len(data) else b""
    size = _OGG_PAGE_BYTES + len(segments) + sum(segments)
    if at + size > len(data):
        return Truncated(f"is cut off: {at + size - len(data)} bytes of its last page are missing")
    if not data[at + 5] & _OGG_LAST:
        return Truncated("is cut off: its last page is missing")
    return None
