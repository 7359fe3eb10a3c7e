"""Files that hold several streams one after the other: libsndfile decodes the first alone, FFmpeg all of them."""

from __future__ import annotations

import os
from typing import BinaryIO

from emotions.audio.mpeg import ID3_HEADER_BYTES, id3_bytes

_FLAC = b"fLaC"
_FLAC_HEAD = 42
_TOTAL_SAMPLES = (1 << 36) - 1
_PAGE = b"OggS"
_PAGE_HEAD = 27
_BEGINS = 2
_BLOCK_BYTES = 1 << 20


def one_flac_of_known_length(file: BinaryIO) -> bool:
    """Whether a file is one FLAC stream whose header has its number of samples, which an encoder to a pipe leaves 0.

    Source: RFC 9639, section 8.2. An ID3v2 tag may come first.
    """
    file.seek(0)
    start = id3_bytes(file.read(_FLAC_HEAD))
    file.seek(start)
    head = file.read(_FLAC_HEAD)
    if start == ID3_HEADER_BYTES or len(head) < _FLAC_HEAD or not int.from_bytes(head[18:26], "big") & _TOTAL_SAMPLES:
        return False  # libsndfile refuses an empty ID3v2 tag
    end = b""
    while block := file.read(_BLOCK_BYTES):
        # The marker may occur in the audio by chance: FFmpeg then decodes what libsndfile would have, more slowly.
        if _FLAC in end + block:
            return False
        end = block[-len(_FLAC) + 1 :]
    return True


def one_vorbis(file: BinaryIO) -> bool:
    """Whether an Ogg file is one Vorbis stream, none beside it and none chained behind it (RFC 3533, section 6)."""
    size = file.seek(0, os.SEEK_END)
    at, begun = 0, 0
    while at < size:
        file.seek(at)
        head = file.read(_PAGE_HEAD)
        if len(head) < _PAGE_HEAD or head[:4] != _PAGE:
            return False
        segments = file.read(head[-1])
        if head[5] & _BEGINS:
            begun += 1
            if begun > 1 or file.read(7) != b"\x01vorbis":
                return False
        at += _PAGE_HEAD + len(segments) + sum(segments)
    return begun == 1
