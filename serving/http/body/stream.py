"""The body of a request as it comes: at most a given number of bytes, and without its ``Content-Encoding``."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator

from starlette.requests import Request

from serving.http.body.arriving import arriving_body
from serving.http.errors import RequestError

# A body of unknown length is read and dropped up to this multiple of the limit: many clients read the response, and
# so the reason of the refusal, only after they have sent everything.
_MAX_DRAIN = 8
_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_PIECE_BYTES = 256 << 10
"""Bytes that are decompressed at a time: between two pieces other requests have their turn."""
_MAX_MEMBERS = 4096
"""Most gzip members of one body: an empty one costs more than its 20 bytes."""


def limited(request: Request, limit: int, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The chunks of a request's body, decompressed where it has a ``Content-Encoding``, at most ``limit`` bytes.

    Args:
        request: its body has not been read.
        limit: most bytes of the body, as sent and as decompressed.
        max_bytes: the limit that the error names.

    Raises:
        RequestError: 413, at once where the length that it declares is too large, else as the chunks come; 415 for an
            unknown coding, 400 for a body that is not in the coding that it names, 408 for one that comes too slowly.
        Overloaded: there is no room for it.
    """
    body, declared = arriving_body(request.scope), request.headers.get("content-length", "")
    if declared.isdecimal():
        if int(declared) > limit:
            raise too_large(max_bytes)
        if body is not None:
            body.check_room(int(declared))
    keep = None if body is None else body.hold
    coding = _coding(request) if "content-encoding" in request.headers else ""
    if not coding:
        return _counted(request, limit, max_bytes, keep)
    return _decompressed(request, coding, limit, max_bytes, keep)


def too_large(max_bytes: int, *, close: bool = False) -> RequestError:
    """413 for an upload of too many bytes.

    Args:
        max_bytes: most bytes that it may have.
        close: whether the connection is to be closed.
    """
    return RequestError(413, "too_large", f"the upload is larger than {max_bytes} bytes", close=close)


async def _counted(
    request: Request, limit: int, max_bytes: int, keep: Callable[[int], None] | None = None
) -> AsyncGenerator[bytes, None]:
    """The body's chunks; those after the first ``limit`` bytes are dropped, then the body is refused.

    Args:
        request: its body has not been read.
        limit: most bytes.
        max_bytes: the limit that the error names.
        keep: told the bytes of each chunk before that is kept.
    """
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > _MAX_DRAIN * limit:
            raise too_large(max_bytes, close=True)
        if received <= limit:
            if keep:
                keep(len(chunk))
            yield chunk
    if received > limit:
        raise too_large(max_bytes)


def _coding(request: Request) -> str:
    """The body's content coding; empty for none."""
    named = ",".join(request.headers.getlist("content-encoding")).lower().split(",")
    codings = [coding.strip() for coding in named if coding.strip() not in {"", "identity"}]
    if not codings:
        return ""
    if len(codings) == 1 and codings[0] in _CODINGS:
        return codings[0]
    message = f"Content-Encoding {', '.join(codings)[:64]!r} is not read: send gzip, deflate, or the bytes as they are"
    raise RequestError(415, "unsupported_encoding", message)


async def _decompressed(
    request: Request, coding: str, limit: int, max_bytes: int, keep: Callable[[int], None] | None
) -> AsyncGenerator[bytes, None]:
    """The decompressed chunks, piece by piece; after ``limit`` bytes the rest is dropped as it is."""
    decompressor, size = _Decompressor(coding), 0
    async for chunk in _counted(request, limit, max_bytes):
        if size > limit:
            continue
        for piece in decompressor.pieces(chunk):
            size += len(piece)
            if size > limit:
                break
            if keep:
                keep(len(piece))
            yield piece
            await asyncio.sleep(0)
    if size > limit:
        raise too_large(max_bytes)
    decompressor.check_complete()


class _Decompressor:
    """Decompresses gzip, of one member or several, and deflate in zlib's format (RFC 1950), piece by piece."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._member = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._members = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What some more compressed bytes hold."""
        while data:
            if self._member.eof:
                data = data.lstrip(b"\0")  # zeros after a member are padding
                if not data:
                    return
                self._next_member()
            try:
                piece = self._member.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise self._malformed("is not in that coding") from error
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if piece:
                yield piece

    def check_complete(self) -> None:
        """Refuse a body that ends before its compressed data does."""
        if not self._member.eof:
            raise self._malformed("ends before its data does")

    def _next_member(self) -> None:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise self._malformed(f"has more than {_MAX_MEMBERS} members")
        self._member = zlib.decompressobj(_GZIP_OR_ZLIB)

    def _malformed(self, problem: str) -> RequestError:
        return RequestError(400, "bad_request", f"Content-Encoding is {self._coding}, and the body {problem}")
