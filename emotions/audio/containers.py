"""Containers: from a file or its bytes to blocks of mono samples.

A container is recognised by its first bytes, never by its name, and only the readers in ``_SNIFFERS`` are ever tried,
so a playlist or a video format that reaches out to other files or to the network is refused before a parser sees it.
"""

from __future__ import annotations

import contextlib
import io
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from emotions.audio.ffmpeg import ffmpeg
from emotions.audio.joined import one_flac_of_known_length, one_vorbis
from emotions.audio.libsndfile import libsndfile, wave
from emotions.audio.mpeg import counted_by_its_tag, id3_bytes, mpeg_layer
from emotions.audio.stream import Reader, Stream
from emotions.errors import AudioError, NotAudio, first_line

EXTENSIONS = frozenset(
    f".{name}"
    for names in ("wav wave flac ogg oga opus mp3 m4a mp4 aac", "webm mka mkv aif aiff au caf w64 rf64")
    for name in names.split(" ")
)
"""File name endings that a folder is searched for."""

_SNIFF_BYTES = 64  # OpusHead begins at byte 28 of an Ogg page
_MAX_TAGS = 4

AudioSource = Path | str | bytes


@contextlib.contextmanager
def open_stream(source: AudioSource) -> Iterator[Stream]:
    """Open a recording to be read block by block; NotAudio where it is no container that we read, or broken."""
    with _binary(source) as file:
        reader = _reader(_head(file))
        file.seek(0)
        try:
            with reader(file) as stream:
                yield stream
        except (AudioError, OSError):
            raise
        except (RuntimeError, ValueError, EOFError) as error:
            raise NotAudio(f"cannot be decoded ({first_line(error)})") from error


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


def _head(file: BinaryIO) -> bytes:
    """The bytes that name the format: the first ones, or those behind ID3v2 tags where any follow them."""
    head, at = file.read(_SNIFF_BYTES), 0
    for _ in range(_MAX_TAGS):
        if not (size := id3_bytes(head)):
            break
        at += size
        file.seek(at)
        head = file.read(_SNIFF_BYTES) or head
    return head


def _reader(head: bytes) -> Reader:
    if not head:
        raise NotAudio("is empty")
    for matches, reader in _SNIFFERS:
        if matches(head):
            return reader
    raise NotAudio("is not audio that we read (WAV, FLAC, OGG, OPUS, MP3, M4A, AAC, WEBM, AIFF, AU, CAF)")


def _libsndfile_if(reads_all: Callable[[BinaryIO], bool], container_format: str) -> Reader:
    """libsndfile, the faster decoder, where it reads all of a file; else FFmpeg."""

    @contextlib.contextmanager
    def reader(file: BinaryIO) -> Iterator[Stream]:
        # A plain stream over the same bytes: seeking in ``_Bytes`` costs more than the look at a header.
        plain = io.BytesIO(file.getvalue()) if isinstance(file, io.BytesIO) else file
        chosen = libsndfile if reads_all(plain) else ffmpeg(container_format)
        file.seek(0)
        with chosen(file) as stream:
            yield stream

    return reader


def _is_other(head: bytes) -> bool:
    named = (b"RF64", b"riff", b".snd", b"caff", b"ID3", b"RIFX")
    return head.startswith(named) or (head[:4] == b"FORM" and head[8:11] == b"AIF")


_SNIFFERS: tuple[tuple[Callable[[bytes], bool], Reader], ...] = (
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WAVE", wave),
    (lambda head: head[:4] == b"fLaC", _libsndfile_if(one_flac_of_known_length, "flac")),
    (_is_other, libsndfile),
    (lambda head: head[:4] == b"OggS", _libsndfile_if(one_vorbis, "ogg")),
    (lambda head: head[4:8] == b"ftyp", ffmpeg("mov")),
    (lambda head: head[:4] == b"\x1a\x45\xdf\xa3", ffmpeg("matroska")),
    (lambda head: mpeg_layer(head) == 0, ffmpeg("aac")),
    (lambda head: mpeg_layer(head) is not None, _libsndfile_if(counted_by_its_tag, "mp3")),
)
