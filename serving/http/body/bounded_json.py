"""JSON of a client: bounded in bytes, parts and depth before it is parsed, since parsing makes objects of it at once.

Recordings in base64 are strings far longer than all the rest: they are cut out first, by nothing but a search for
quotes, and are neither parsed nor counted.
"""

from __future__ import annotations

import codecs
import secrets
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from serving.http.errors import RequestError

_LONG_BYTES = 4096
"""A string of more bytes is cut out."""
_BLOCK_BYTES = 256 << 10
_MARK_LENGTH = 256
"""Characters of what stands for a string that was cut out: more than any string but a recording may have."""
_LONGEST_ESCAPE = len(r"\u0000")
_MOST_BACKSLASHES = 64
_QUOTE = b'"'


class LongStrings:
    """The long strings of a JSON text, as they are written there, by what stands for them."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(16)  # no client can name it
        self._strings: dict[str, bytes] = {}

    def add(self, string: bytes) -> str:
        """Keep a string; what stands for it."""
        mark = f"(a long string, {len(self._strings)}, {self._token})".ljust(_MARK_LENGTH, ".")
        self._strings[mark] = string
        return mark

    def text(self, value: str) -> bytes:
        """The bytes of a string of the parsed JSON, in UTF-8.

        Raises:
            RequestError: 400, it has escapes that are none.
        """
        written = self._strings.get(value)
        return value.encode("utf-8", "replace") if written is None else _unescaped(written)


def parse_bounded(content: bytes, max_bytes: int, most: Mapping[bytes, int]) -> tuple[Any, LongStrings]:
    """Parse JSON, in whose place of long strings others stand.

    By pydantic's parser: it holds the interpreter's lock for a third of the time of Python's own.

    Args:
        content: JSON in UTF-8.
        max_bytes: most bytes without long strings.
        most: for structural characters, how many there may be, inside strings too. Braces and brackets bound the depth.

    Raises:
        RequestError: 400, it has more of them, or is no JSON; 413, it has more bytes.
    """
    rest, strings = _without_long_strings(content, max_bytes, most[_QUOTE])
    for character, limit in most.items():
        if rest.count(character, 0, max_bytes) > limit:
            raise _too_many(character, limit)
    if len(rest) > max_bytes:
        message = f"more than {max_bytes} bytes of JSON, recordings apart; of many numbers: send them in binary"
        raise RequestError(413, "too_large", message)
    try:
        return from_json(rest.removeprefix(codecs.BOM_UTF8)), strings
    except ValueError as error:
        raise RequestError(400, "bad_request", f"the body is not JSON: {error}") from error


def _without_long_strings(content: bytes, max_bytes: int, most_quotes: int) -> tuple[bytes, LongStrings]:
    strings, pieces, begin = LongStrings(), list[bytes](), 0
    quotes = cut = 0
    start = content.find(_QUOTE)
    while start >= 0 and start - cut <= max_bytes:
        end, escaped = _end_of_string(content, start + 1, most_quotes - quotes)
        if end < 0:
            break  # the parser says what is wrong with it
        quotes += 2 + escaped
        if quotes > most_quotes:
            raise _too_many(_QUOTE, most_quotes)
        if end - start > _LONG_BYTES:
            pieces += [content[begin : start + 1], strings.add(content[start + 1 : end]).encode()]
            cut += end - start - 1
            begin = end
        start = content.find(_QUOTE, end + 1)
    return b"".join([*pieces, content[begin:]]), strings


def _end_of_string(content: bytes, start: int, most_quotes: int) -> tuple[int, int]:
    """Where the quote is that ends a string, or -1; and how many escaped ones are before it."""
    end, escaped = content.find(_QUOTE, start), 0
    while end > start and content[end - 1 : end] == b"\\":
        before = content[max(start, end - _MOST_BACKSLASHES) : end]
        backslashes = len(before) - len(before.rstrip(b"\\"))
        if backslashes == _MOST_BACKSLASHES or escaped > most_quotes:
            raise _too_many(_QUOTE if escaped > most_quotes else b"\\", most_quotes)
        if backslashes % 2 == 0:
            break
        end, escaped = content.find(_QUOTE, end + 1), escaped + 1
    return end, escaped


def _unescaped(written: bytes) -> bytes:
    """A string without its escapes, block by block, between which other threads have the interpreter's lock."""
    if b"\\" not in written:
        return written
    pieces, begin = [], 0
    try:
        while begin < len(written):
            end = begin + _BLOCK_BYTES
            cut_escape = written.rfind(b"\\", end - _LONGEST_ESCAPE, end)
            if end < len(written) and cut_escape >= 0:
                end = cut_escape
            pieces.append(str(from_json(b'"%b"' % written[begin:end])).encode("utf-8", "replace"))
            begin = end
    except ValueError as error:
        raise RequestError(400, "bad_request", f"the body is not JSON: {error}") from error
    return b"".join(pieces)


def _too_many(character: bytes, limit: int) -> RequestError:
    problem = f"the body is not JSON of this request: it has more than {limit} times {character.decode()!r}"
    return RequestError(400, "bad_request", problem)
