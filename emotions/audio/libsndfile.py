"""What libsndfile decodes: WAV, AIFF, AU, CAF, FLAC, Vorbis, and MPEG audio whose length is certain."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile

from emotions.audio.stream import Blocks, Stream, check_shape, to_mono
from emotions.errors import NotAudio

_BLOCK_SEC = 10
_SHORT_SCALE = np.float32(2**-15)
# A data chunk this large is a placeholder that a recorder writes when it streams: 0x7FFFFFFF, 0xFFFFFFFF and near.
_OPEN_SIZE = 0x7FFFF000


@contextlib.contextmanager
def libsndfile(file: BinaryIO) -> Iterator[Stream]:
    """A file that libsndfile decodes; NotAudio where it cannot, or where the file ends before its header says."""
    try:
        # By its name where it has one: libsndfile then reads by itself, without the interpreter's lock.
        opened = soundfile.SoundFile(file if isinstance(file, io.BytesIO) else os.fsencode(file.name))
    except soundfile.LibsndfileError as error:
        raise NotAudio(f"cannot be decoded ({error.error_string.rstrip('.')})") from error
    with opened as sound:
        check_shape(sound.samplerate, sound.channels)
        yield Stream(sound.samplerate, sound.channels, _blocks(sound), functools.partial(_part, sound))


def _blocks(sound: soundfile.SoundFile) -> Blocks:
    missing = sound.frames
    # numpy turns 16 bits into the same floats as libsndfile does, in half the time.
    short = sound.subtype == "PCM_16"
    while len(block := sound.read(_BLOCK_SEC * sound.samplerate, "int16" if short else "float32", always_2d=True)):
        missing -= len(block)
        yield to_mono(np.multiply(block.T, _SHORT_SCALE, dtype=np.float32) if short else block.T)
    if missing > 0:
        raise NotAudio(f"is cut off: {missing / sound.samplerate:.2f} s of what its header promises are missing")


def _part(sound: soundfile.SoundFile, first: int, last: int | None) -> tuple[int, Blocks]:
    """As ``Stream.part``. libsndfile seeks to the sample in every format that it reads, and lets the decoder settle."""
    first = min(first, sound.frames)
    sound.seek(first)
    left = sound.frames - first if last is None else max(0, last - first)

    def blocks() -> Blocks:
        missing = left
        size = min(missing, _BLOCK_SEC * sound.samplerate)
        while missing > 0 and len(block := sound.read(min(size, missing), "float32", always_2d=True)):
            missing -= len(block)
            yield to_mono(block.T)

    return first, blocks()


@contextlib.contextmanager
def wave(file: BinaryIO) -> Iterator[Stream]:
    """A RIFF file. libsndfile reads one that was cut off as if it ended there, so the header is checked first."""
    if (missing := _wave_bytes_missing(file)) > 0:
        raise NotAudio(f"is cut off: {missing} bytes of what its header promises are missing")
    file.seek(0)
    with libsndfile(file) as stream:
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
