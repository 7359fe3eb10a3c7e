"""What libsndfile decodes: uncompressed audio and FLAC of known length, which it does faster, and Vorbis."""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from emotions.audio.stream import Blocks, Stream, block_samples, check_shape, missing_audio, to_mono
from emotions.errors import IncompleteAudio, NotAudio

_SHORT_SCALE = np.float32(2**-15)
_UNCOMPRESSED = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"})
_FLAC = b"fLaC"
_FLAC_HEAD = 42
_TOTAL_SAMPLES = (1 << 36) - 1
_LOOK_BYTES = 1 << 20
_PAGE_HEAD = 27
_PAGE_BEGINS = 2


@contextlib.contextmanager
def libsndfile(file: BinaryIO, channel: int | None = None) -> Iterator[Stream]:
    """A file that libsndfile decodes, the mean of its channels or one of them; NotAudio where it cannot."""
    file.seek(0)
    with _opened(file) as sound:
        check_shape(sound.samplerate, sound.channels)
        flaws: list[IncompleteAudio] = []
        part = functools.partial(_part, sound, channel, flaws)
        claimed = sound.frames * sound.channels
        yield Stream(sound.samplerate, sound.channels, _blocks(sound, channel, flaws), flaws, part, claimed)


def is_uncompressed(file: BinaryIO) -> bool:
    """Whether libsndfile opens a file, and its audio is PCM, float, A-law or mu-law."""
    file.seek(0)
    try:
        with _opened(file) as sound:
            return sound.subtype in _UNCOMPRESSED and sound.frames > 0
    except NotAudio:
        return False


def is_one_flac_of_known_length(file: BinaryIO) -> bool:
    """Whether a file is one FLAC stream whose header has its number of samples, which an encoder to a pipe leaves 0.

    Source: RFC 9639, section 8.2.
    """
    file.seek(0)
    head = file.read(_FLAC_HEAD)
    if len(head) < _FLAC_HEAD or not int.from_bytes(head[18:26], "big") & _TOTAL_SAMPLES:
        return False
    end = head[len(_FLAC) :]
    while block := file.read(_LOOK_BYTES):
        # The marker may occur in the audio by chance: FFmpeg then decodes what libsndfile would have, more slowly.
        if _FLAC in end + block:
            return False
        end = block[-len(_FLAC) + 1 :]
    return True


def is_one_vorbis(file: BinaryIO) -> bool:
    """Whether an Ogg file is one Vorbis stream, none beside it and none chained behind it (RFC 3533, section 6)."""
    size = file.seek(0, os.SEEK_END)
    at, begun = 0, 0
    while at < size:
        file.seek(at)
        head = file.read(_PAGE_HEAD)
        if len(head) < _PAGE_HEAD or head[:4] != b"OggS":
            return False
        segments = file.read(head[-1])
        if head[5] & _PAGE_BEGINS:
            begun += 1
            if begun > 1 or file.read(7) != b"\x01vorbis":
                return False
        at += _PAGE_HEAD + len(segments) + sum(segments)
    return begun == 1


def _opened(file: BinaryIO) -> soundfile.SoundFile:
    try:
        # By its name where it has one: libsndfile then reads by itself, without the interpreter's lock.
        return soundfile.SoundFile(os.fsencode(file.name) if isinstance(file, io.BufferedReader) else file)
    except soundfile.LibsndfileError as error:
        raise NotAudio(f"cannot be decoded ({error.error_string.rstrip('.')})") from error


def _part(
    sound: soundfile.SoundFile, channel: int | None, flaws: list[IncompleteAudio], first: int, last: int | None
) -> tuple[int, Blocks]:
    """As ``Stream.part``. libsndfile seeks to the sample in every format that it reads, and lets the decoder settle."""
    first = min(first, sound.frames)
    sound.seek(first)
    return first, _blocks(sound, channel, flaws, max(1, (last or sound.frames) - first))


def _blocks(
    sound: soundfile.SoundFile, channel: int | None, flaws: list[IncompleteAudio], wanted: int | None = None
) -> Blocks:
    most = block_samples(sound.samplerate, sound.channels)
    size = most if wanted is None else min(most, wanted)
    missing = sound.frames - sound.tell()
    # numpy turns 16 bits into the same floats as libsndfile does, in half the time.
    short = sound.subtype == "PCM_16"
    while len(block := _read(sound, size, "int16" if short else "float32")):
        missing -= len(block)
        yield to_mono(np.multiply(block.T, _SHORT_SCALE, dtype=np.float32) if short else block.T, channel)
    if missing > 0:
        flaws.append(missing_audio(missing, sound.samplerate))


def _read(sound: soundfile.SoundFile, size: int, dtype: str) -> npt.NDArray[Any]:
    try:
        block: npt.NDArray[Any] = sound.read(size, dtype, always_2d=True)
    except soundfile.LibsndfileError as error:
        raise NotAudio(f"cannot be decoded ({error.error_string.rstrip('.')})") from error
    return block
