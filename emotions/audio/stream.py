"""A recording being read: blocks of mono samples, whichever library decodes it."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from emotions.audio.windows import FloatArray
from emotions.errors import IncompleteAudio, NoChannel, NotAudio, Truncated

_MAX_CHANNELS = 64
_MAX_RATE = 768_000
_MAX_SEEK = (1 << 63) - 1
_BLOCK_SEC = 10
_BLOCK_SAMPLES = 1 << 20
"""A block holds as many seconds, and at most as many samples of all channels."""


class NotPlain(Exception):
    """A recording that is to be decoded in a process with limits: no error, and never seen by users.

    Args:
        claimed: samples of all channels that its header counts; 0 where it does not say.
    """

    def __init__(self, claimed: int = 0) -> None:
        super().__init__("is to be decoded by a process with limits")
        self.claimed = claimed


Blocks = Iterator[FloatArray]
Part = Callable[[int, int | None], tuple[int, Blocks]]


@dataclass(frozen=True)
class Stream:
    """A recording being read.

    Attributes:
        rate: samples per second as recorded.
        channels: channels as recorded.
        blocks: mono float32 (samples,), in -1 to 1.
        flaws: why there is less than there should be; complete when ``blocks`` is exhausted.
        part: used instead of ``blocks``: from a first to a last sample (exclusive; None for the end) gives the sample,
            no later than the first, that its blocks begin at, and blocks of at least these; they may go on behind them.
            None where a decoder would have to begin at the start.
        claimed: samples of all channels that the header counts; 0 where it does not say.
    """

    rate: int
    channels: int
    blocks: Blocks
    flaws: list[IncompleteAudio] = field(default_factory=list)
    part: Part | None = None
    claimed: int = 0

    def through(self, read: Callable[[Blocks, int], Blocks]) -> Stream:
        """The stream with its blocks, and the sample that they begin at, passed through ``read``."""
        part = self.part

        def read_part(first: int, last: int | None) -> tuple[int, Blocks]:
            begin, blocks = part(first, last) if part else (0, self.blocks)
            return begin, read(blocks, begin)

        return replace(self, blocks=read(self.blocks, 0), part=part and read_part)


Reader = Callable[[BinaryIO], contextlib.AbstractContextManager[Stream]]


class Bytes(io.BytesIO):
    """Bytes to read, in which a decoder may seek to where nothing is; as ``Section.seek``."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte; as ``Section.seek``."""
        at = offset + {io.SEEK_CUR: self.tell(), io.SEEK_END: self.getbuffer().nbytes}.get(whence, 0)
        return super().seek(at if 0 <= at <= _MAX_SEEK else self.tell())


class File(io.BufferedReader):
    """A file to read, in which a decoder may seek to where nothing is, as in ``Bytes``: no error of the file's.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte; as ``Section.seek``."""
        size = os.fstat(self.fileno()).st_size
        at = offset + {io.SEEK_CUR: self.tell(), io.SEEK_END: size}.get(whence, 0)
        return super().seek(min(at, size) if 0 <= at <= _MAX_SEEK else self.tell())


class Section(io.RawIOBase):
    """A part of a file as a file of its own, with other bytes in front of it.

    Args:
        file: what holds the part.
        start: where the part begins, in bytes.
        size: its bytes.
        head: what stands in front of it.
    """

    def __init__(self, file: BinaryIO, start: int, size: int, head: bytes = b"") -> None:
        super().__init__()
        self._file, self._start, self._head = file, start, head
        self._size = len(head) + max(0, size)
        self._at = 0
        self._owned: BinaryIO | None = None

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte. Before the first one, where a damaged header may point, there is none: it stays where it is.

        So does ``lseek`` (POSIX), and a decoder that reads by its own handle: by either way it reads the same.

        Args:
            offset: bytes from where ``whence`` says.
            whence: as for any file.
        """
        at = offset + {io.SEEK_CUR: self._at, io.SEEK_END: self._size}.get(whence, 0)
        self._at = at if 0 <= at <= _MAX_SEEK else self._at
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as there are bytes; how many there were."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self._size - self._at))
        data = self._head[self._at : self._at + wanted]
        if len(data) < wanted:
            self._file.seek(self._start + max(0, self._at - len(self._head)))
            data += self._file.read(wanted - len(data))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def reopened(self) -> Section:
        """The same section of the same file, opened once more."""
        section = Section(own_handle(self._file), self._start, self._size - len(self._head), self._head)
        section._owned = section._file
        return section

    def close(self) -> None:
        """Close the section; the file only where it was opened for it."""
        if self._owned:
            self._owned.close()
        super().close()

    @property
    def place(self) -> tuple[str, int, int, int] | None:
        """As ``place_of``; None where other bytes stand in front."""
        place = place_of(self._file)
        return None if self._head or place is None else (place[0], self._start, self._size, place[3])


def own_handle(file: BinaryIO) -> BinaryIO:
    """The same recording, opened once more: whoever reads ``file`` does not notice."""
    if isinstance(file, Section):
        return cast(BinaryIO, file.reopened())
    return type(file)(file.getvalue()) if isinstance(file, io.BytesIO) else File(Path(os.fsdecode(file.name)))


def place_of(file: BinaryIO) -> tuple[str, int, int, int] | None:
    """Path of a file, where in it the recording begins, its bytes, and when it changed; None for bytes in memory."""
    if isinstance(file, Section):
        return file.place
    if isinstance(file, io.BytesIO):
        return None
    stat = os.fstat(file.fileno())
    return os.fsdecode(file.name), 0, stat.st_size, stat.st_mtime_ns


def block_samples(rate: int, channels: int) -> int:
    """Samples of each channel that a block holds at most, of a recording of a rate in Hz."""
    return min(_BLOCK_SEC * rate, _BLOCK_SAMPLES // channels)


def missing_audio(samples: int, rate: int) -> Truncated:
    """The flaw of a recording that ends so many samples before its header says."""
    return Truncated(f"is cut off: {samples / rate:.2f} s of what its header promises are missing")


def check_shape(rate: int, channels: int) -> None:
    """Refuse a rate in Hz or a number of channels that no recording has; raises NotAudio."""
    if not 0 < rate <= _MAX_RATE or not 0 < channels <= _MAX_CHANNELS:
        raise NotAudio(f"has {channels} channels at {rate} Hz, which is not a recording that we read")


def to_mono(block: npt.NDArray[Any], channel: int | None = None) -> FloatArray:
    """One of (channels, samples), or their mean: (samples,), in -1 to 1; NaN and infinity are left to be found.

    Args:
        block: of all channels.
        channel: which one, from 1; None for the mean.

    Raises:
        NoChannel: there are fewer.
    """
    if channel is not None and channel > len(block):
        channels = f"{len(block)} channel{'s' if len(block) != 1 else ''}"
        raise NoChannel(f"has {channels}, so there is none of the number {channel}")
    chosen = 1 if len(block) == 1 else channel
    mono = np.ascontiguousarray(
        block.mean(axis=0, dtype=np.float32) if chosen is None else block[chosen - 1], np.float32
    )
    peak = max(mono.max(initial=0), -mono.min(initial=0))
    return np.clip(mono, -1, 1) if 1 < peak < np.inf else mono
