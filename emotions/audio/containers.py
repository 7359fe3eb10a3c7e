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
from emotions.audio.formats import NAMES, SNIFF_BYTES, Format, format_of
from emotions.audio.libsndfile import is_one_flac_of_known_length, is_one_vorbis, is_uncompressed, libsndfile
from emotions.audio.mpeg import ID3, RESYNC_BYTES, first_frame, id3_bytes, tagged_frames
from emotions.audio.sample_counts import check_tables, claimed_samples
from emotions.audio.stream import Blocks, Bytes, NotPlain, Reader, Section, Stream, place_of
from emotions.audio.wave import open_pcm16, read_header
from emotions.errors import AudioError, Crashed, IncompleteAudio, NotAudio, Truncated, first_line

_MAX_TAGS = 4
_REMEMBERED = 64
_LOOKS: dict[str, Callable[[BinaryIO], bool]] = {
    "flac": is_one_flac_of_known_length,
    "ogg": is_one_vorbis,
    **dict.fromkeys(("w64", "aiff", "au", "caf"), is_uncompressed),
}
"""What libsndfile is tried for: whether it reads all of a file of that format."""
_RESYNC_MORE = 16 << 10  # the frames that follow the first one
_PLAIN = frozenset({"wav", "w64", "aiff", "au", "flac"})
"""Formats whose decoding by libsndfile is bounded by the bytes that there are, and FLAC of a usual shape."""
_PLAIN_FLAC = 2 * 192_000
"""Channels x Hz of FLAC up to which its decoding is: a frame of silence has 65,535 samples in a few bytes."""

AudioSource = Path | str | bytes


@contextlib.contextmanager
def open_stream(
    source: AudioSource, *, strict: bool = False, plain: bool = False, channel: int | None = None
) -> Iterator[Stream]:
    """Open a recording to be read block by block.

    Args:
        source: path of a file, or the file's bytes.
        strict: refuse, at its end, a recording of which a part is missing.
        plain: read only what takes no more time and memory than its bytes justify.
        channel: the one to read, from 1; None for the mean of all.

    Raises:
        NotAudio: no container that we read, or broken.
        IncompleteAudio: a part is missing, and ``strict``.
        NoChannel: it has fewer channels; when the first block is read.
        Crashed: it takes more memory than there is.
        NotPlain: it is not ``plain``; of FLAC perhaps after some blocks.
        OSError: the file cannot be read.
    """
    with _binary(source) as file:
        try:
            recording, kind = _recognised(file)
            with _reader(recording, kind, plain=plain, channel=channel) as (stream, flaw):
                yield stream.through(lambda blocks, _: _concluded(blocks, stream.flaws, flaw, strict=strict))
        except (AudioError, OSError):
            raise
        except MemoryError as error:
            raise Crashed("decoding it takes more memory than a decoder may use") from error
        except (RuntimeError, ValueError, EOFError) as error:
            raise NotAudio(f"cannot be decoded ({first_line(error)})") from error


def _binary(source: AudioSource) -> BinaryIO:
    if isinstance(source, bytes):
        return Bytes(source)
    path = Path(source)
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotAudio("is not a regular file")  # opening a pipe would wait for ever
    return path.open("rb")


def _recognised(file: BinaryIO) -> tuple[BinaryIO, Format]:
    """The recording without what stands in front of it, and its format."""
    start, head = 0, file.read(SNIFF_BYTES)
    if head.startswith(ID3):
        start, head = _behind_tags(file, head)
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


def _behind_tags(file: BinaryIO, head: bytes) -> tuple[int, bytes]:
    """Where the recording begins behind ID3v2 tags, the first of which is ``head``, and its first bytes."""
    start = 0
    for _ in range(_MAX_TAGS):
        if not (size := id3_bytes(head)):
            break
        start += size
        file.seek(start)
        head = file.read(SNIFF_BYTES)
    return start, head


@contextlib.contextmanager
def _reader(
    file: BinaryIO, kind: Format, *, plain: bool, channel: int | None
) -> Iterator[tuple[Stream, IncompleteAudio | None]]:
    """The stream of a recording, libsndfile's where it reads all of it, and faster, else FFmpeg's; and its flaw.

    The flaw is what the container says, which holds where the decoder notices nothing.
    """
    if plain and kind.demuxer not in _PLAIN:
        raise NotPlain(claimed_samples(file, kind.demuxer))
    if kind.demuxer == "mov":
        check_tables(file)
    if kind.demuxer == "wav":
        header = read_header(file)
        if header.format.is_pcm16:
            yield open_pcm16(file, header, channel), header.flaw
            return
        file, flaw, by_libsndfile = header.plain_file(file), header.flaw, header.format.uncompressed
    else:
        flaw = check_end(file, kind.demuxer)
        by_libsndfile = flaw is None and _is_for_libsndfile(file, kind)
    if plain and not by_libsndfile:
        raise NotPlain(claimed_samples(file, kind.demuxer))
    other = _not_here if plain else _by_ffmpeg(file, kind, channel)
    with contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(libsndfile(file, channel) if by_libsndfile else other(file))
        except NotAudio as error:
            raise error if flaw is None else NotAudio(f"{flaw}, without which it cannot be decoded") from error
        if plain and kind.demuxer == "flac" and stream.rate * stream.channels > _PLAIN_FLAC:
            raise NotPlain(stream.claimed)
        if by_libsndfile and kind.demuxer == "flac":
            flaws = stream.flaws
            stream = stream.through(lambda blocks, begin: _going_on(blocks, begin, flaws, other, file))
        yield stream, flaw


def _by_ffmpeg(file: BinaryIO, kind: Format, channel: int | None) -> Reader:
    """FFmpeg's reader. Its libraries are loaded where they are used: a service has them in its decoders alone."""
    from emotions.audio.ffmpeg import ffmpeg

    return ffmpeg(kind.demuxer, _promised_packets(file, kind), channel)


def _not_here(_: BinaryIO) -> contextlib.AbstractContextManager[Stream]:
    """In place of FFmpeg, where only what is plain is to be read."""
    raise NotPlain


def _is_for_libsndfile(file: BinaryIO, kind: Format) -> bool:
    """Whether libsndfile reads all of a file. To know that, all of it is looked at: of files it is remembered."""
    if kind.demuxer not in _LOOKS:
        return False
    place = place_of(file)
    if place is not None:
        return _is_file_for_libsndfile(*place, kind.demuxer)
    if kind.demuxer == "ogg" and isinstance(file, io.BytesIO):  # seeking in ``Bytes`` costs more than a page of it
        file = io.BytesIO(file.getvalue())
    return _LOOKS[kind.demuxer](file)


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


def _concluded(blocks: Blocks, flaws: list[IncompleteAudio], flaw: IncompleteAudio | None, *, strict: bool) -> Blocks:
    """The blocks of a stream; at their end what its container says is noted, where the decoder noticed nothing.

    Args:
        blocks: of the stream.
        flaws: what its decoder notices.
        flaw: what its container says.
        strict: raise what is missing.
    """
    yield from blocks
    if flaw is not None and not flaws:
        flaws.append(flaw)
    if strict and flaws:
        raise flaws[0]
