"""Containers: from a file or its bytes to blocks of mono samples.

A container is recognised by its first bytes, never by its name, and only the readers of ``FORMATS`` are ever tried,
so a playlist or a video format that reaches out to other files or to the network is refused before a parser sees it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from emotions.audio.chunks import check_end
from emotions.audio.ffmpeg import ffmpeg
from emotions.audio.formats import NAMES, SNIFF_BYTES, Format, format_of
from emotions.audio.libsndfile import is_one_flac_of_known_length, is_one_vorbis, is_uncompressed, libsndfile
from emotions.audio.mpeg import RESYNC_BYTES, first_frame, id3_bytes, tagged_frames
from emotions.audio.stream import Blocks, Part, Reader, Section, Stream, place_of
from emotions.audio.wave import read_header
from emotions.errors import AudioError, IncompleteAudio, NotAudio, Truncated, first_line

_MAX_TAGS = 4
_REMEMBERED = 64
_LOOKS: dict[str, Callable[[BinaryIO], bool]] = {
    "flac": is_one_flac_of_known_length,
    "ogg": is_one_vorbis,
    **dict.fromkeys(("w64", "aiff", "au", "caf"), is_uncompressed),
}
"""What libsndfile is tried for: whether it reads all of a file of that format."""
_RESYNC_MORE = 16 << 10  # the frames that follow the first one

AudioSource = Path | str | bytes


@contextlib.contextmanager
def open_stream(source: AudioSource, *, strict: bool = False) -> Iterator[Stream]:
    """Open a recording to be read block by block.

    Args:
        source: path of a file, or the file's bytes.
        strict: refuse, at its end, a recording of which a part is missing.

    Raises:
        NotAudio: no container that we read, or broken.
        IncompleteAudio: a part is missing, and ``strict``.
        OSError: the file cannot be read.
    """
    with _binary(source) as file:
        try:
            recording, kind = _recognised(file)
            with _reader(recording, kind) as stream:
                flaws, part = stream.flaws, stream.part

                def read(blocks: Blocks, _: int = 0) -> Blocks:
                    yield from blocks
                    if strict and flaws:
                        raise flaws[0]

                yield Stream(stream.rate, stream.channels, read(stream.blocks), flaws, _each(read, part))
        except (AudioError, OSError):
            raise
        except (RuntimeError, ValueError, EOFError) as error:
            raise NotAudio(f"cannot be decoded ({first_line(error)})") from error


def _each(read: Callable[[Blocks, int], Blocks], part: Part | None) -> Part | None:
    """A part whose blocks, and the sample that they begin at, go through ``read``."""
    if part is None:
        return None

    def read_part(first: int, last: int | None) -> tuple[int, Blocks]:
        begin, blocks = part(first, last)
        return begin, read(blocks, begin)

    return read_part


class _Bytes(io.BytesIO):
    """Bytes to read. A damaged header can make libsndfile seek before the first byte: it gets the first one."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_CUR: self.tell(), io.SEEK_END: self.getbuffer().nbytes}.get(whence, 0)
        return super().seek(max(0, base + offset))


def _binary(source: AudioSource) -> BinaryIO:
    if isinstance(source, bytes):
        return _Bytes(source)
    path = Path(source)
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotAudio("is not a regular file")  # opening a pipe would wait for ever
    return path.open("rb")


def _recognised(file: BinaryIO) -> tuple[BinaryIO, Format]:
    """The recording without what stands in front of it, and its format."""
    start, head = _behind_tags(file)
    kind = format_of(head)
    if kind is None:
        file.seek(start)
        look = file.read(RESYNC_BYTES + _RESYNC_MORE)
        skipped = first_frame(look)
        if skipped is None:
            raise NotAudio(f"is not audio that we read ({NAMES})" if head or start else "is empty")
        start, kind = start + skipped, format_of(look[skipped:])
    if kind is None:  # pragma: no cover - a frame of MPEG audio is of one of its formats
        raise NotAudio(f"is not audio that we read ({NAMES})")
    size = file.seek(0, os.SEEK_END)
    return (cast(BinaryIO, Section(file, start, size - start)) if start else file), kind


def _behind_tags(file: BinaryIO) -> tuple[int, bytes]:
    """Where the recording begins behind ID3v2 tags, and its first bytes."""
    start, head = 0, file.read(SNIFF_BYTES)
    for _ in range(_MAX_TAGS):
        if not (size := id3_bytes(head)):
            break
        start += size
        file.seek(start)
        head = file.read(SNIFF_BYTES)
    return start, head


@contextlib.contextmanager
def _reader(file: BinaryIO, kind: Format) -> Iterator[Stream]:
    """The stream of a recording: libsndfile's where it reads all of it, and faster, else FFmpeg's."""
    if kind.demuxer == "wav":
        header = read_header(file)
        file, flaw, by_libsndfile = header.plain_file(file), header.flaw, header.uncompressed
    else:
        flaw = check_end(file, kind.demuxer)
        by_libsndfile = flaw is None and _is_for_libsndfile(file, kind)
    other = ffmpeg(kind.demuxer, _promised_packets(file, kind))
    with contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(libsndfile(file) if by_libsndfile else other(file))
        except NotAudio as error:
            raise error if flaw is None else NotAudio(f"{flaw}, without which it cannot be decoded") from error
        flaws, part = stream.flaws, stream.part

        def read(blocks: Blocks, begin: int = 0) -> Blocks:
            if by_libsndfile and kind.demuxer == "flac":
                blocks = _going_on(blocks, begin, flaws, other, file)
            return _noting(blocks, flaws, flaw)

        yield Stream(stream.rate, stream.channels, read(stream.blocks), flaws, _each(read, part))


def _is_for_libsndfile(file: BinaryIO, kind: Format) -> bool:
    """Whether libsndfile reads all of a file. To know that, all of it is looked at: of files it is remembered."""
    if kind.demuxer not in _LOOKS:
        return False
    place = place_of(file)
    if place is not None:
        return _is_file_for_libsndfile(*place, kind.demuxer)
    # Seeking in ``_Bytes`` costs more than a page of Ogg.
    return _LOOKS[kind.demuxer](io.BytesIO(file.getvalue()) if isinstance(file, io.BytesIO) else file)


@functools.lru_cache(_REMEMBERED)
def _is_file_for_libsndfile(path: str, start: int, size: int, changed: int, demuxer: str) -> bool:
    del changed  # a part of the key: another content may be read by another library
    with Path(path).open("rb") as file:
        return _LOOKS[demuxer](cast(BinaryIO, Section(file, start, size)) if start else file)


def _going_on(blocks: Blocks, begin: int, flaws: list[IncompleteAudio], other: Reader, file: BinaryIO) -> Blocks:
    """Blocks of a FLAC file from sample ``begin`` on; where libsndfile fails at a frame, FFmpeg decodes from there."""
    done = begin
    try:
        for block in blocks:
            done += len(block)
            yield block
    except NotAudio as error:
        with other(file) as rest:
            for block in rest.blocks:
                yield block[done:]
                done -= min(done, len(block))
            flaws.extend(rest.flaws or [Truncated(f"is cut off or damaged: {error}")])


def _promised_packets(file: BinaryIO, kind: Format) -> int:
    """Packets that an MP3 promises by its tag; some encoders count the tag's own frame."""
    if kind.demuxer != "mp3":
        return 0
    file.seek(0)
    return max(0, tagged_frames(file.read(SNIFF_BYTES)) - 1)


def _noting(blocks: Blocks, flaws: list[IncompleteAudio], flaw: IncompleteAudio | None) -> Blocks:
    """The blocks of a stream; at their end what its container says is noted, where the decoder noticed nothing."""
    yield from blocks
    if flaw is not None and not flaws:
        flaws.append(flaw)
