"""WAV as people have it: chunks of odd sizes, a data chunk without its size, RF64 and BW64.

Sources: Microsoft's Multimedia Programming Interface 1.0 (RIFF), EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64). The
header is read here, so that no decoder's guess about it counts; where it is not plain, the decoder gets a plain one.

16-bit PCM, the recording that people send most, is read here as well. libsndfile gives the same samples; to have it
call back for each piece of a body takes as long as everything else that is done to a short recording before the model.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

import numpy as np

from emotions.audio.chunks import cut_off, is_name, refuse_joined
from emotions.audio.stream import Blocks, Section, Stream, block_samples, check_shape, missing_audio, to_mono
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
_SCALE = np.float32(2**-15)
_SAMPLE_BYTES = 2


@dataclass(frozen=True)
class WaveFormat:
    """The ``fmt`` chunk.

    Attributes:
        content: of the chunk.
        channels: channels.
        rate: samples per second.
        block: bytes of a sample of all channels.
        uncompressed: whether the audio is PCM, float, A-law or mu-law, of the usual sizes.
        is_pcm16: whether it is 16-bit PCM, low byte first, by a format that needs no interpretation.
    """

    content: bytes
    channels: int
    rate: int
    block: int
    uncompressed: bool
    is_pcm16: bool


@dataclass(frozen=True)
class WaveHeader:
    """What the header of a WAV file says, and what there is.

    Attributes:
        endian: of its numbers, for ``struct``.
        format: of the audio.
        start: first byte of the audio.
        size: bytes of audio that there are.
        plain: whether every decoder reads it so.
        flaw: why there is less audio than there should be.
    """

    endian: str
    format: WaveFormat
    start: int
    size: int
    plain: bool
    flaw: IncompleteAudio | None

    def plain_file(self, file: BinaryIO) -> BinaryIO:
        """The file with a header that every decoder reads alike."""
        if self.plain:
            file.seek(0)
            return file
        content = self.format.content
        fmt = struct.pack(f"{self.endian}4sI", b"fmt ", len(content)) + content + b"\0" * (len(content) % 2)
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
            header = WaveHeader(endian, _format(content, endian), at + 8, 0, plain, None)
            return _with_audio(file, end, promised, header)
        if not is_name(name):
            break
        if name == b"fmt ":
            content = file.read(min(size, _MAX_FORMAT_BYTES))
        elif name == b"ds64" and size >= 16:
            long_size = int.from_bytes(file.read(16)[8:], "little")
        at, padded = _next_chunk(file, at + 8 + size, endian)
        plain = plain and padded
    raise NotAudio("cannot be decoded (its header names no audio)")


def _format(content: bytes, endian: str) -> WaveFormat:
    whole = content.ljust(_FORMAT_BYTES, b"\0")
    tag, channels, rate, _, block, bits = struct.unpack_from(f"{endian}HHIIHH", whole)
    kind = struct.unpack_from(f"{endian}H", content, 24)[0] if tag == _EXTENSIBLE and len(content) >= 26 else tag
    usual = bits in _PLAIN_BITS.get(kind, ()) and block == channels * bits // 8
    uncompressed = len(content) >= _FORMAT_BYTES and usual
    is_pcm = tag == _PCM or (tag == _EXTENSIBLE and content[24:40] == _PCM_GUID)
    is_pcm16 = uncompressed and is_pcm and bits == 16 and endian == "<"
    return WaveFormat(content, channels, rate, block, uncompressed, is_pcm16)


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


def _with_audio(file: BinaryIO, end: int, promised: int, header: WaveHeader) -> WaveHeader:
    """The header with the size of its audio: as promised, or to the end of the file where no size was written."""
    start, block, plain = header.start, header.format.block, header.plain
    there = end - start
    flaw: IncompleteAudio | None = None
    is_open = promised >= _OPEN_SIZE and promised > there
    if promised == 0 and not _only_chunks(file, start, end, header.endian):
        is_open, plain = True, False
    size = there if is_open else min(promised, there)
    if is_open:
        plain = plain and there < _OPEN_SIZE
        if block and there % block and there < _OPEN_SIZE:
            flaw = Truncated("is cut off: its last sample is not whole")
    elif promised > there:
        flaw = cut_off(promised - there)
    elif behind := _behind(file, start + size, end, header.endian):
        flaw = Damaged(f"its header leaves out {behind} bytes behind the audio, which are not read")
    return replace(header, size=size, plain=plain, flaw=flaw)


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


def open_pcm16(file: BinaryIO, header: WaveHeader, channel: int | None = None) -> Stream:
    """The audio of a file as a stream.

    Args:
        file: as ``header`` describes it.
        header: of a format that ``is_pcm16``.
        channel: the one to read, from 1; None for the mean of all.

    Raises:
        NotAudio: it has a rate or a number of channels that no recording has.
    """
    rate, channels = header.format.rate, header.format.channels
    check_shape(rate, channels)
    frames, flaws = header.size // (_SAMPLE_BYTES * channels), list[IncompleteAudio]()

    def part(first: int, last: int | None) -> tuple[int, Blocks]:
        """As ``Stream.part``: exactly from the first to the last sample."""
        first = min(first, frames)
        return first, _blocks(file, header, channel, flaws, range(first, frames if last is None else min(last, frames)))

    return Stream(rate, channels, _blocks(file, header, channel, flaws, range(frames)), flaws, part, frames * channels)


def _blocks(
    file: BinaryIO, header: WaveHeader, channel: int | None, flaws: list[IncompleteAudio], wanted: range
) -> Blocks:
    rate, channels = header.format.rate, header.format.channels
    first, last = wanted.start, wanted.stop
    width, most = _SAMPLE_BYTES * channels, block_samples(rate, channels)
    while first < last:
        file.seek(header.start + first * width)
        data = file.read(min(most, last - first) * width)
        frames = len(data) // width
        if not frames:  # the file was cut while it was read
            flaws.append(missing_audio(last - first, rate))
            return
        samples = np.frombuffer(data, "<i2", frames * channels).reshape(frames, channels)
        first += frames
        yield to_mono(np.multiply(samples.T, _SCALE, dtype=np.float32), channel)
