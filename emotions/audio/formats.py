"""The formats that are read: their names and file name endings, and how their first bytes tell them apart.

Folders are searched for these endings, and the page of reference has its table from here. What a file is, its bytes
say, never its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emotions.audio.mpeg import mpeg_layer

SNIFF_BYTES = 512
"""Bytes that tell a format."""
GSM_FRAME_BYTES = 33


@dataclass(frozen=True)
class Format:
    """A format of recordings.

    Attributes:
        name: as messages and documents name it.
        endings: of file names, without the dot.
        codecs: what is read in it, in words.
        demuxer: FFmpeg's short name.
        begins: whether a file that starts with these bytes is of it.
    """

    name: str
    endings: tuple[str, ...]
    codecs: str
    demuxer: str
    begins: Callable[[bytes], bool]


def _is_gsm(head: bytes) -> bool:
    """GSM 06.10 has no header; each of its frames begins with the bits 1101, and the bytes hold fifteen of them."""
    return len(head) > GSM_FRAME_BYTES and all(byte >> 4 == 0xD for byte in head[::GSM_FRAME_BYTES])


_QUICKTIME = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")

FORMATS = (
    Format(
        "WAV",
        ("wav", "wave", "rf64", "bw64"),
        "PCM, float, A-law, mu-law, ADPCM, G.722, G.726, GSM, MP3 and others; RIFF, RIFX, RF64, BW64",
        "wav",
        lambda head: head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE",
    ),
    Format("Wave64", ("w64",), "as WAV", "w64", lambda head: head[:8] == b"riff\x2e\x91\xcf\x11"),
    Format(
        "AIFF",
        ("aif", "aiff", "aifc"),
        "PCM, float, A-law, mu-law, ADPCM",
        "aiff",
        lambda head: head[:4] == b"FORM" and head[8:11] == b"AIF",
    ),
    Format("AU", ("au", "snd"), "PCM, float, A-law, mu-law", "au", lambda head: head[:4] == b".snd"),
    Format("CAF", ("caf",), "PCM, float, ALAC, AAC, ADPCM, Opus", "caf", lambda head: head[:4] == b"caff"),
    Format("FLAC", ("flac",), "FLAC", "flac", lambda head: head[:4] == b"fLaC"),
    Format(
        "OGG",
        ("ogg", "oga", "opus", "spx", "ogv"),
        "Vorbis, Opus, FLAC, Speex",
        "ogg",
        lambda head: head[:4] == b"OggS",
    ),
    Format(
        "MP4",
        ("m4a", "mp4", "m4b", "m4v", "mov", "qt", "3gp", "3g2"),
        "AAC, ALAC, MP3, AMR, Opus, FLAC, PCM",
        "mov",
        lambda head: head[4:8] in _QUICKTIME,
    ),
    Format(
        "WebM",
        ("webm", "weba", "mka", "mkv"),
        "Opus, Vorbis, AAC, MP3, FLAC, PCM",
        "matroska",
        lambda head: head[:4] == b"\x1a\x45\xdf\xa3",
    ),
    Format("AMR", ("amr", "awb"), "AMR-NB, AMR-WB", "amr", lambda head: head[:5] == b"#!AMR"),
    Format(
        "WMA",
        ("wma", "asf", "wmv"),
        "WMA 1, 2, Pro, Voice, Lossless",
        "asf",
        lambda head: head[:8] == b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    ),
    Format("AAC", ("aac", "adts"), "AAC in ADTS", "aac", lambda head: mpeg_layer(head) == 0),
    Format("MP3", ("mp3", "mp2", "mp1", "mpga"), "MPEG layers 1 to 3", "mp3", lambda head: bool(mpeg_layer(head))),
    Format("GSM", ("gsm",), "GSM 06.10", "gsm", _is_gsm),
)
"""All formats; the first that fits a file's first bytes is meant."""

EXTENSIONS = frozenset(f".{ending}" for each in FORMATS for ending in each.endings)
"""File name endings that a folder is searched for."""
NAMES = ", ".join(each.name for each in FORMATS)
"""All formats, for messages."""


def format_of(head: bytes) -> Format | None:
    """The format of a file that starts with ``head``; None for one that we do not read."""
    return next((each for each in FORMATS if each.begins(head[:SNIFF_BYTES])), None)


def format_table() -> str:
    """All formats as a table in Markdown, as ``docs/reference/formats.md`` has it."""
    rows = [
        f"| {each.name} | {' '.join(f'`.{ending}`' for ending in each.endings)} | {each.codecs} |" for each in FORMATS
    ]
    return "\n".join(["| format | endings | codecs |", "| --- | --- | --- |", *rows])
