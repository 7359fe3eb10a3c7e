"""Uploads: multipart fields ``file`` or the raw body, at most a given number of bytes of them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncGenerator

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from serving.http.errors import RequestError
from serving.settings import Settings

FIELD = "file"

# A larger recording waits in an unnamed file on disk rather than in memory.
_SPOOL_BYTES = 1 << 20
# Boundaries, part headers and other fields of a multipart body, in addition to the file.
_ENVELOPE_BYTES = 64 << 10
_MAX_FIELDS = 16
# A body of unknown length is read and dropped up to this multiple of the limit: many clients read the response, and
# so the reason of the refusal, only after they have sent everything.
_MAX_DRAIN = 8


async def read_upload(request: Request, max_bytes: int) -> UploadFile:
    """Read a request's recording into a spooled file, rewound; the caller closes it.

    Args:
        request: its body has not been read.
        max_bytes: most bytes of the recording.

    Raises:
        RequestError: 413 for more than ``max_bytes``, 400 for a malformed or an empty body.
        ClientDisconnect: the client left.
    """
    multipart = _is_multipart(request)
    limit = max_bytes + (_ENVELOPE_BYTES if multipart else 0)
    chunks = limited(request, limit, max_bytes)
    upload = await (_from_form(request, chunks) if multipart else _from_body(chunks))
    try:
        check_size(upload, max_bytes)
    except RequestError:
        upload.file.close()
        raise
    return upload


async def read_uploads(request: Request, settings: Settings) -> list[UploadFile]:
    """Read all recordings of a multipart request into spooled files, rewound; the caller closes and measures them.

    Args:
        request: its body has not been read.
        settings: the limits.

    Raises:
        RequestError: 413 for more than ``max_items`` of them or ``max_items_bytes`` together, 400 for a body that is
            malformed or holds none.
        ClientDisconnect: the client left.
    """
    if not _is_multipart(request):
        raise RequestError(400, "bad_request", f"a batch is multipart/form-data with several fields '{FIELD}'")
    limit = settings.max_items_bytes
    form = await _parsed(request, limited(request, limit, limit), settings.max_items)
    uploads = [upload for upload in form.getlist(FIELD) if isinstance(upload, UploadFile)]
    if uploads and len(uploads) == len(form.getlist(FIELD)):
        return uploads
    await form.close()
    raise _no_file(is_text=len(form.getlist(FIELD)) > 0)


def check_size(upload: UploadFile, max_bytes: int) -> None:
    """Refuse an empty recording, or one of more bytes than allowed.

    Args:
        upload: the recording.
        max_bytes: most bytes that it may have.
    """
    if not upload.size:
        raise RequestError(400, "bad_request", "the upload is empty")
    if upload.size > max_bytes:
        raise _too_large(max_bytes)


def limited(request: Request, limit: int, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The chunks of a request's body; 413 at once where the length that it declares is too large, else as they come.

    Args:
        request: its body has not been read.
        limit: most bytes of the body.
        max_bytes: the limit that the error names.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(max_bytes)
    return _counted(request, limit, max_bytes)


def _is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def _too_large(max_bytes: int, *, close: bool = False) -> RequestError:
    return RequestError(413, "too_large", f"the upload is larger than {max_bytes} bytes", close=close)


def _no_file(*, is_text: bool) -> RequestError:
    problem = "is text: give it a file name" if is_text else "is missing"
    return RequestError(400, "bad_request", f"the multipart field '{FIELD}' {problem}")


async def _counted(request: Request, limit: int, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body's chunks; those after the first ``limit`` bytes are dropped, then the body is refused."""
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > _MAX_DRAIN * limit:
            raise _too_large(max_bytes, close=True)
        if received <= limit:
            yield chunk
    if received > limit:
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
    form = await _parsed(request, chunks, 1)
    upload = form.get(FIELD)
    if isinstance(upload, UploadFile):
        return upload
    await form.close()
    raise _no_file(is_text=upload is not None)


async def _parsed(request: Request, chunks: AsyncGenerator[bytes, None], max_files: int) -> FormData:
    parser = MultiPartParser(
        request.headers, chunks, max_files=max_files, max_fields=_MAX_FIELDS, max_part_size=_ENVELOPE_BYTES
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        if max_files > 1 and error.message.startswith("Too many files"):
            raise RequestError(413, "too_many_items", f"a batch holds at most {max_files} recordings") from error
        raise RequestError(400, "bad_request", f"the multipart body is malformed: {error.message}") from error
