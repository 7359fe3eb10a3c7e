"""Containers: from a file or its bytes to blocks of mono samples.

A container is recognised by its first bytes, never by its name, and only the readers in ``_SNIFFERS`` are ever tried,
so a playlist or a video format that reaches out to other files or to the network is refused before a parser sees it.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import numpy.typing as npt
import soundfile

from emotions.audio.joined import one_flac_of_known_length, one_vorbis
from emotions.audio.mpeg import ID3_HEADER_BYTES, counted_by_its_tag, id3_bytes
from emotions.audio.windows import FloatArray
from emotions.errors import AudioError, NotAudio, first_line

EXTENSIONS = frozenset(
    f".{name}"
    for names in ("wav wave flac ogg oga opus mp3 m4a mp4 aac", "webm mka mkv aif aiff au caf w64 rf64")
    for name in names.split(" ")
)
"""File name endings that a folder is searched for."""

_BLOCK_SEC = 10
_MAX_CHANNELS = 64
_MAX_PLANES = 8
_MAX_RATE = 768_000
_SNIFF_BYTES = 64
_MAX_TAGS = 4
_SHORT_SCALE = np.float32(2**-15)
# A data chunk this large is a placeholder that a recorder writes when it streams: 0x7FFFFFFF, 0xFFFFFFFF and near.
_OPEN_SIZE = 0x7FFFF000

# FFmpeg prints what it finds wrong in damaged input; what matters of it reaches the caller as NotAudio.
av.logging.set_level(av.logging.PANIC)

AudioSource = Path | str | bytes
Blocks = Iterator[FloatArray]


@dataclass(frozen=True)
class Stream:
    """A recording being read.

    Attributes:
        rate: samples per second as recorded.
        channels: channels as recorded.
        blocks: mono float32 blocks (samples,), in -1 to 1.
    """

    rate: int
    channels: int
    blocks: Blocks


Reader = Callable[[BinaryIO], contextlib.AbstractContextManager[Stream]]


@contextlib.contextmanager
def open_stream(source: AudioSource) -> Iterator[Stream]:
    """Open a recording to be read block by block.

    Raises:
        NotAudio: not a container or codec that we read, or broken.
        OSError: the file cannot be read.
    """
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


@contextlib.contextmanager
def _soundfile(file: BinaryIO) -> Iterator[Stream]:
    try:
        # By its name where it has one: libsndfile then reads by itself, without the interpreter's lock.
        opened = soundfile.SoundFile(file if isinstance(file, io.BytesIO) else os.fsencode(file.name))
    except soundfile.LibsndfileError as error:
        raise NotAudio(f"cannot be decoded ({error.error_string.rstrip('.')})") from error
    with opened as sound:
        _check_shape(sound.samplerate, sound.channels)
        yield Stream(sound.samplerate, sound.channels, _soundfile_blocks(sound))


def _soundfile_blocks(sound: soundfile.SoundFile) -> Blocks:
    missing = sound.frames
    # numpy turns 16 bits into the same floats as libsndfile does, in half the time.
    short = sound.subtype == "PCM_16"
    while len(block := sound.read(_BLOCK_SEC * sound.samplerate, "int16" if short else "float32", always_2d=True)):
        missing -= len(block)
        yield _mono(np.multiply(block.T, _SHORT_SCALE, dtype=np.float32) if short else block.T)
    if missing > 0:
        raise NotAudio(f"is cut off: {missing / sound.samplerate:.2f} s of what its header promises are missing")


@contextlib.contextmanager
def _mpeg(file: BinaryIO) -> Iterator[Stream]:
    """An MPEG stream. libsndfile is the faster decoder, but stops at a count of frames that may be a guess."""
    with _bytes_of(file) as data:
        # libsndfile does not recognise a file whose ID3v2 tag is empty.
        empty_tag = id3_bytes(bytes(data[:_SNIFF_BYTES])) == ID3_HEADER_BYTES
        reader = _soundfile if counted_by_its_tag(data) and not empty_tag else _av("mp3")
    with reader(file) as stream:
        yield stream


@contextlib.contextmanager
def _flac(file: BinaryIO) -> Iterator[Stream]:
    with _bytes_of(file) as data:
        reader = _soundfile if one_flac_of_known_length(data) else _av("flac")
    with reader(file) as stream:
        yield stream


@contextlib.contextmanager
def _ogg(file: BinaryIO) -> Iterator[Stream]:
    with _bytes_of(file) as data:
        reader = _soundfile if one_vorbis(data) else _av("ogg")
    with reader(file) as stream:
        yield stream


@contextlib.contextmanager
def _bytes_of(file: BinaryIO) -> Iterator[bytes | mmap.mmap]:
    if isinstance(file, io.BytesIO):
        yield file.getvalue()
    else:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped


@contextlib.contextmanager
def _wave(file: BinaryIO) -> Iterator[Stream]:
    """A RIFF file. libsndfile reads one that was cut off as if it ended there, so the header is checked first."""
    missing = _wave_bytes_missing(file)
    if missing > 0:
        raise NotAudio(f"is cut off: {missing} bytes of what its header promises are missing")
    file.seek(0)
    with _soundfile(file) as stream:
        yield stream


def _wave_bytes_missing(file: BinaryIO) -> int:
    """Bytes that the data chunk promises and the file lacks; 0 where a recorder that streamed left the size open."""
    end = file.seek(0, io.SEEK_END)
    file.seek(12)
    while len(header := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", header)
        if name == b"data":
            return 0 if size >= _OPEN_SIZE else max(0, file.tell() + size - end)
        file.seek(size + size % 2, io.SEEK_CUR)
    return 0


def _av(container_format: str) -> Reader:
    @contextlib.contextmanager
    def reader(file: BinaryIO) -> Iterator[Stream]:
        try:
            with av.open(file, "r", format=container_format, metadata_errors="replace") as container:
                if not container.streams.audio:
                    raise NotAudio("holds no audio track")
                context = container.streams.audio[0].codec_context
                if context is None:
                    raise NotAudio("holds a codec that we do not read")
                _check_shape(context.sample_rate, context.channels)
                yield Stream(context.sample_rate, context.channels, _av_blocks(container))
        except av.FFmpegError as error:
            raise NotAudio(f"cannot be decoded ({error.strerror or first_line(error)})") from error

    return reader


def _av_blocks(container: av.container.InputContainer) -> Blocks:
    context = container.streams.audio[0].codec_context
    rate, channels = context.sample_rate, context.channels
    # Packed, not planar: PyAV's arrays of planar frames of more than 8 channels read past the end of the planes.
    packed = av.AudioResampler(format="flt", layout=context.layout, rate=rate)

    def converted(frame: av.AudioFrame | None) -> Blocks:
        for part in packed.resample(frame):
            yield _mono(part.to_ndarray().reshape(-1, channels).T)

    for frame in _frames(container):
        shape = (frame.format.name, frame.sample_rate, frame.layout.nb_channels)
        if shape == ("fltp", rate, channels) and channels <= _MAX_PLANES:
            yield _mono(frame.to_ndarray())  # what most codecs give: three times as fast as by way of the resampler
        else:
            yield from converted(frame)
    yield from converted(None)


def _frames(container: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    for packet in container.demux(audio=0):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            # Between joined MP3 files lie tags, which FFmpeg hands over as packets of their own.
            if container.format.name != "mp3" or _mpeg_layer(bytes(packet)) is not None:
                raise


def _check_shape(rate: int, channels: int) -> None:
    if not 0 < rate <= _MAX_RATE or not 0 < channels <= _MAX_CHANNELS:
        raise NotAudio(f"has {channels} channels at {rate} Hz, which is not a recording that we read")


def _mono(block: npt.NDArray[Any]) -> FloatArray:
    """(channels, samples) to their mean (samples,), in -1 to 1; NaN and infinity are left to be found."""
    mono = np.ascontiguousarray(block[0] if len(block) == 1 else block.mean(axis=0, dtype=np.float32), np.float32)
    peak = max(mono.max(initial=0), -mono.min(initial=0))
    return np.clip(mono, -1, 1) if 1 < peak < np.inf else mono


def _mpeg_layer(head: bytes) -> int | None:
    """The two layer bits of an MPEG audio frame header (0 is AAC in ADTS), or None where there is no sync word."""
    return (head[1] >> 1) & 3 if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 else None


def _is_riff(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WAVE"


def _is_libsndfile(head: bytes) -> bool:
    named = (b"RF64", b"riff", b".snd", b"caff", b"ID3", b"RIFX")
    return head.startswith(named) or (head[:4] == b"FORM" and head[8:11] == b"AIF")


_SNIFFERS: tuple[tuple[Callable[[bytes], bool], Reader], ...] = (
    (_is_riff, _wave),
    (lambda head: head[:4] == b"fLaC", _flac),
    (_is_libsndfile, _soundfile),
    (lambda head: head[:4] == b"OggS", _ogg),
    (lambda head: head[4:8] == b"ftyp", _av("mov")),
    (lambda head: head[:4] == b"\x1a\x45\xdf\xa3", _av("matroska")),
    (lambda head: _mpeg_layer(head) == 0, _av("aac")),
    (lambda head: _mpeg_layer(head) is not None, _mpeg),
)
