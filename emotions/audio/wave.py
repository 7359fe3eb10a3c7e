"""WAV as people have it: chunks of odd sizes, a data chunk without its size, RF64 and BW64.

Sources: Microsoft's Multimedia Programming Interface 1.0 (RIFF), EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64). The
header is read here, so that no decoder's guess about it counts; where it is not plain, the decoder gets a plain one.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO, cast

from emotions.audio.chunks import cut_off, is_name, refuse_joined
from emotions.audio.stream import Section
from emotions.errors import Damaged, IncompleteAudio, NotAudio, Truncated

_HEAD = 12
_MAX_CHUNKS = 10_000
_MAX_FORMAT_BYTES = 1 << 16
_OPEN_SIZE = 0x7FFFF000
"""A data chunk this large is a placeholder that a recorder writes when it streams: 0x7FFFFFFF, 0xFFFFFFFF and near."""
_LONG = (b"RF64", b"BW64")
_FOLLOWING = (*_LONG, b"RIFF", b"RIFX")
_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_PLAIN_BITS = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64), _A_LAW: (8,), _MU_LAW: (8,)}
_PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")
_FORMAT_BYTES = 16
_LOOK_BYTES = 4096


@dataclass(frozen=True)
class WaveHeader:
    """What the header of a WAV file says, and what there is.

    Attributes:
        endian: of its numbers, for ``struct``.
        format: content of the ``fmt`` chunk.
        start: first byte of the audio.
        size: bytes of audio that there are.
        plain: whether every decoder reads it so.
        flaw: why there is less audio than there should be.
    """

    endian: str
    format: bytes
    start: int
    size: int
    plain: bool
    flaw: IncompleteAudio | None

    @property
    def uncompressed(self) -> bool:
        """Whether the audio is PCM, float, A-law or mu-law, of the usual sizes."""
        if len(self.format) < _FORMAT_BYTES:
            return False
        tag, channels, _, _, block, bits = self._fields
        if tag == _EXTENSIBLE and len(self.format) >= 26:
            tag = struct.unpack_from(f"{self.endian}H", self.format, 24)[0]
        return bits in _PLAIN_BITS.get(tag, ()) and block == channels * bits // 8

    @property
    def is_pcm16(self) -> bool:
        """Whether the audio is 16-bit PCM, low byte first, by a format that needs no interpretation."""
        if self.endian != "<" or not self.uncompressed:
            return False
        tag, *_, bits = self._fields
        return bits == 16 and (tag == _PCM or (tag == _EXTENSIBLE and self.format[24:40] == _PCM_GUID))

    @property
    def rate(self) -> int:
        """Samples per second."""
        return self._fields[2]

    @property
    def channels(self) -> int:
        """Channels."""
        return self._fields[1]

    @property
    def _fields(self) -> tuple[int, int, int, int, int, int]:
        """Tag, channels, rate, bytes per second, bytes of a sample of all channels, bits."""
        tag, channels, rate, speed, block, bits = struct.unpack_from(f"{self.endian}HHIIHH", self.format)
        return tag, channels, rate, speed, block, bits

    def plain_file(self, file: BinaryIO) -> BinaryIO:
        """The file with a header that every decoder reads alike."""
        if self.plain:
            file.seek(0)
            return file
        fmt = struct.pack(f"{self.endian}4sI", b"fmt ", len(self.format)) + self.format + b"\0" * (len(self.format) % 2)
        long = self.size > _OPEN_SIZE and self.endian == "<"
        sizes = struct.pack("<4sIQQQI", b"ds64", 28, 0, self.size, 0, 0) if long else b""
        name = b"RF64" if long else b"RIFF" if self.endian == "<" else b"RIFX"
        size = 0xFFFFFFFF if long else self.size
        data = struct.pack(f"{self.endian}4sI", b"data", size)
        whole = 0xFFFFFFFF if long else 4 + len(fmt) + len(data) + self.size
        head = struct.pack(f"{self.endian}4sI4s", name, whole & 0xFFFFFFFF, b"WAVE") + sizes + fmt + data
        return cast(BinaryIO, Section(file, self.start, self.size, head))


def read_header(file: BinaryIO) -> WaveHeader:
    """Read the chunks of a WAV file.

    Raises:
        NotAudio: there is no format or no audio, or another recording follows, which no decoder would find.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    riff = file.read(4)
    endian = ">" if riff == b"RIFX" else "<"
    at, long_size, content, plain = _HEAD, None, b"", riff != b"BW64"
    for _ in range(_MAX_CHUNKS):
        name, size = _chunk(file, at, endian)
        if name == b"data" and content:
            promised = long_size if riff in _LONG and long_size is not None and size >= _OPEN_SIZE else size
            plain = plain and (riff not in _LONG or promised <= end - at - 8)
            return _with_audio(file, end, at + 8, promised, WaveHeader(endian, content, at + 8, 0, plain, None))
        if not is_name(name):
            break
        if name == b"fmt ":
            content = file.read(min(size, _MAX_FORMAT_BYTES))
        elif name == b"ds64" and size >= 16:
            long_size = int.from_bytes(file.read(16)[8:], "little")
        at, padded = _next_chunk(file, at + 8 + size, endian)
        plain = plain and padded
    raise NotAudio("cannot be decoded (its header names no audio)")


def _chunk(file: BinaryIO, at: int, endian: str) -> tuple[bytes, int]:
    """Name and size of the chunk at a place; no name where none begins there."""
    file.seek(at)
    head = file.read(8)
    return struct.unpack(f"{endian}4sI", head) if len(head) == 8 else (b"", 0)


def _next_chunk(file: BinaryIO, at: int, endian: str) -> tuple[int, bool]:
    """Where the next chunk begins, and whether with the padding that an odd one has behind it, which some forget."""
    if at % 2 and not is_name(_chunk(file, at + 1, endian)[0]) and is_name(_chunk(file, at, endian)[0]):
        return at, False
    return at + at % 2, True


def _with_audio(file: BinaryIO, end: int, start: int, promised: int, header: WaveHeader) -> WaveHeader:
    """The header with the size of its audio: as promised, or to the end of the file where no size was written."""
    there, plain = end - start, header.plain
    flaw: IncompleteAudio | None = None
    is_open = promised >= _OPEN_SIZE and promised > there
    if promised == 0 and not _only_chunks(file, start, end, header.endian):
        is_open, plain = True, False
    size = there if is_open else min(promised, there)
    if is_open:
        plain = plain and there < _OPEN_SIZE
        block = struct.unpack_from(f"{header.endian}H", header.format.ljust(14, b"\0"), 12)[0]
        if block and there % block and there < _OPEN_SIZE:
            flaw = Truncated("is cut off: its last sample is not whole")
    elif promised > there:
        flaw = cut_off(promised - there)
    elif behind := _behind(file, start + size, end, header.endian):
        flaw = Damaged(f"its header leaves out {behind} bytes behind the audio, which are not read")
    return WaveHeader(header.endian, header.format, start, size, plain, flaw)


def _only_chunks(file: BinaryIO, at: int, end: int, endian: str) -> bool:
    """Whether nothing but chunks lies between a place and the end of the file."""
    for _ in range(_MAX_CHUNKS):
        if at >= end - 1:
            return True
        name, size = _chunk(file, at, endian)
        if not is_name(name) or at + 8 + size > end:
            return False
        at, _ = _next_chunk(file, at + 8 + size, endian)
    return False


def _behind(file: BinaryIO, at: int, end: int, endian: str) -> int:
    """Bytes behind the audio that are neither chunks nor padding; NotAudio where they are another recording."""
    at, _ = _next_chunk(file, at, endian)
    file.seek(at)
    look = file.read(_LOOK_BYTES)
    if look[:4] in _FOLLOWING and look[8:12] == b"WAVE":
        raise refuse_joined()
    if not look.strip(b"\0") or is_name(look[:4]):
        return 0
    return end - at
