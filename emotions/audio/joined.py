"""Files that hold several streams one after the other: libsndfile decodes the first alone, FFmpeg all of them."""

from __future__ import annotations

import mmap

from emotions.audio.mpeg import id3_bytes

_FLAC = b"fLaC"
_FLAC_HEAD = 42
_TOTAL_SAMPLES = (1 << 36) - 1
_PAGE = b"OggS"
_PAGE_HEAD = 27
_BEGINS = 2


def one_flac_of_known_length(data: bytes | mmap.mmap) -> bool:
    """Whether a file is one FLAC stream whose header has its number of samples, which an encoder to a pipe leaves 0.

    Source: RFC 9639, section 8.2. An ID3v2 tag may come first.
    """
    start = id3_bytes(bytes(data[:_FLAC_HEAD]))
    head = bytes(data[start : start + _FLAC_HEAD])
    known = len(head) == _FLAC_HEAD and int.from_bytes(head[18:26], "big") & _TOTAL_SAMPLES
    # The marker may occur in the audio by chance: FFmpeg then decodes what libsndfile would have, more slowly.
    return bool(known) and data.find(_FLAC, start + len(_FLAC)) < 0


def one_vorbis(data: bytes | mmap.mmap) -> bool:
    """Whether an Ogg file is one Vorbis stream, none beside it and none chained behind it (RFC 3533, section 6)."""
    at, begun = 0, 0
    while data[at : at + 4] == _PAGE and at + _PAGE_HEAD <= len(data):
        segments = data[at + _PAGE_HEAD - 1]
        body = at + _PAGE_HEAD + segments
        if data[at + 5] & _BEGINS:
            begun += 1
            if begun > 1 or data[body : body + 7] != b"\x01vorbis":
                return False
        at = body + sum(data[at + _PAGE_HEAD : body])
    return begun == 1 and at >= len(data)
