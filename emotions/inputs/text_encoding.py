"""The encoding of a text file: a byte order mark, UTF-16 or UTF-8 by their bytes, Windows-1252 where that is certain.

A text that is not Unicode has no mark of its own: the bytes of ``Ärger`` in Windows-1252 are other letters in
Windows-1251. Windows-1252 is certain here where its letters are those of one Western European language, in words
that are mostly ASCII, and where Windows-1250 does not give the letters of a Central European one instead.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from emotions.errors import DataError

MAX_TEXT_BYTES = 4 << 30
"""Largest text file that is read."""

_MAX_LEGACY_BYTES = 256 << 20  # held in memory to look at all of its words
_BLOCK = 1 << 20
_HEAD_BYTES = 4096
_ASCII_SHARE = 0.2
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WESTERN = tuple(
    map(
        frozenset,
        ("äöüß", "àâçéèêëîïôùûüœ", "áéíóúüñ", "áâãàçéêíóôõú", "àèéíòóùú", "åäöæøé", "áéèëíïóöü"),
    )
)
_CENTRAL = tuple(map(frozenset, ("áäčďéěíĺľňóôŕřšťúůýž", "ąćęłńóśźż", "áéíóöőúüű", "ăâîşţ", "čćđšž")))
_PUNCTUATION = frozenset("’‘“”–—…€«»\N{NO-BREAK SPACE}")
_WORD = re.compile(r"[^\W\d_]+")
_INSIDE_A_WORD = re.compile(r"(?<=[^\W\d_])[‘“”–—…€«»](?=[^\W\d_])")


def marked_encoding(head: bytes) -> str | None:
    """The encoding that the byte order mark at a text's beginning names; None where it has no mark."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def text_encoding(path: Path) -> str:
    """The encoding of a text file, as ``open`` takes it.

    Raises:
        DataError: the file is too large, or its encoding is not certain; the message has its first line.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size > MAX_TEXT_BYTES:
        raise DataError(f"{path}: is larger than {MAX_TEXT_BYTES >> 30} GiB, the most that is read; split it")
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if found := marked_encoding(head) or _unmarked_utf16(head):
        return found
    if _is_utf8(path):
        return "utf-8"
    data = path.read_bytes() if size <= _MAX_LEGACY_BYTES else b""
    if not data or (doubt := _doubt(data)) is not None:
        found = f"; as Windows-1252 it has {doubt!r}, which is not certain" if data and doubt else ""
        columns = ", ".join(name.strip(" \"'") for name in re.split(r"[,;\t|]", _first_line(path)))
        raise DataError(f"{path}: is not UTF-8 text{found}; its columns: {columns}; save the table as UTF-8")
    return "cp1252"


def _unmarked_utf16(head: bytes) -> str | None:
    """UTF-16 without a mark: tables have ASCII letters, delimiters and digits, one byte of each of which is 0."""
    units = len(head) // 2
    first, second = head[0 : 2 * units : 2].count(0), head[1 : 2 * units : 2].count(0)
    if max(first, second) < _ASCII_SHARE * units or min(first, second) > max(first, second) / 4 or not units:
        return None
    return "utf-16-le" if second > first else "utf-16-be"


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _first_line(path: Path) -> str:
    with path.open("rb") as stream:
        line = stream.readline(2_000).decode("ascii", errors="replace").strip()
    return "".join(letter for letter in line if letter.isprintable() or letter == "\t")


def _doubt(data: bytes) -> str | None:
    """The first word that makes Windows-1252 uncertain, empty where no word does; None where it is certain."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return ""
    words = {word for word in _WORD.findall(text) if not word.isascii()}
    letters = {letter for word in words for letter in word.lower() if not letter.isascii()}
    others = {letter for letter in text if not letter.isascii() and not letter.isalpha()}
    ascii_letters = sum(letter.isascii() for word in words for letter in word)
    foreign = sum(not letter.isascii() for word in words for letter in word)
    certain = (
        others <= _PUNCTUATION
        and not _INSIDE_A_WORD.search(text)
        and foreign <= ascii_letters
        and any(letters <= alphabet for alphabet in _WESTERN)
        and not _central_european(data, letters)
    )
    return None if certain else min(words, default="".join(sorted(others))[:20])


def _central_european(data: bytes, letters: set[str]) -> bool:
    """Whether the bytes are as good in Windows-1250, with letters other than those of Windows-1252."""
    text = data.decode("cp1250", errors="replace")
    central = {letter for word in _WORD.findall(text) for letter in word.lower() if not letter.isascii()}
    return central != letters and any(central <= alphabet for alphabet in _CENTRAL)
