"""An upload: a multipart field ``file`` or the raw body, read within a limit of bytes."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncGenerator

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from serving.errors import RequestError

FIELD = "file"

# A recording above this waits for its turn on disk, in a file without a name, not in memory.
_SPOOL_BYTES = 1 << 20
# Boundaries, part headers and other fields of a multipart body, on top of the file.
_ENVELOPE_BYTES = 64 << 10
_MAX_FIELDS = 16
# How many times the limit a body of unknown length may be, for its client to finish sending and read why it is refused.
_DRAINED = 8


async def read_upload(request: Request, max_bytes: int) -> UploadFile:
    """Read a request's recording into a spooled file, rewound; the caller closes it.

    Raises:
        RequestError: 413 for more than ``max_bytes``, 400 for a malformed or an empty body.
        ClientDisconnect: the client left.
    """
    multipart = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    limit = max_bytes + (_ENVELOPE_BYTES if multipart else 0)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(max_bytes)
    chunks = _counted(request, limit, max_bytes)
    upload = await (_from_form(request, chunks) if multipart else _from_body(chunks))
    size = upload.size or 0
    if 0 < size <= max_bytes:
        return upload
    upload.file.close()
    raise _too_large(max_bytes) if size else RequestError(400, "bad_request", "the upload is empty")


def _too_large(max_bytes: int, *, close: bool = False) -> RequestError:
    return RequestError(413, "too_large", f"the upload is larger than {max_bytes} bytes", close=close)


async def _counted(request: Request, limit: int, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body's chunks; those after the first ``limit`` bytes are dropped, then it is refused."""
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > _DRAINED * limit:
            raise _too_large(max_bytes, close=True)
        if seen <= limit:
            yield chunk
    if seen > limit:
        raise _too_large(max_bytes)


async def _from_body(chunks: AsyncGenerator[bytes, None]) -> UploadFile:
    with contextlib.ExitStack() as on_error:
        file = on_error.enter_context(tempfile.SpooledTemporaryFile(_SPOOL_BYTES))
        upload = UploadFile(file, size=0)  # type: ignore[arg-type]  # typeshed: a spooled file is not a BinaryIO
        async for chunk in chunks:
            await upload.write(chunk)
        await upload.seek(0)
        on_error.pop_all()
    return upload


async def _from_form(request: Request, chunks: AsyncGenerator[bytes, None]) -> UploadFile:
    parser = MultiPartParser(
        request.headers, chunks, max_files=1, max_fields=_MAX_FIELDS, max_part_size=_ENVELOPE_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RequestError(400, "bad_request", f"the multipart body is malformed: {error.message}") from error
    upload = form.get(FIELD)
    if isinstance(upload, UploadFile):
        return upload
    await form.close()
    found = "is text: give it a file name" if upload is not None else "is missing"
    raise RequestError(400, "bad_request", f"the multipart field '{FIELD}' {found}")
