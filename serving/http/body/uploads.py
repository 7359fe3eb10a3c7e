"""Uploads: multipart fields ``file``, the raw body, or text that holds a recording; at most a given number of bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from serving.http.body.spool import spooled, storage
from serving.http.body.stream import limited, too_large
from serving.http.body.text import is_text_field, largest_body, largest_text, text_to_recording
from serving.http.errors import RequestError
from serving.worker.engine import Engine

FIELD = "file"

# Boundaries, part headers and other fields of a multipart body, in addition to the file.
_ENVELOPE_BYTES = 64 << 10
_MAX_FIELDS = 16
_MULTIPART = "multipart/form-data"
_NO_FILE = f"the multipart field '{FIELD}' is missing"


async def read_upload(request: Request, engine: Engine) -> UploadFile:
    """Read a request's recording into a spooled file, rewound; the caller closes it.

    Args:
        request: its body has not been read.
        engine: has the limits.

    Raises:
        RequestError: 413 for more than ``max_bytes``, 400 for a malformed or an empty body, 408 for one that comes too
            slowly, 507 where there is no room for it.
        ClientDisconnect: the client left.
    """
    max_bytes, media_type = engine.settings.max_bytes, _media_type(request)
    if media_type == _MULTIPART:
        upload = await _from_form(request, limited(request, largest_text(max_bytes) + _ENVELOPE_BYTES, max_bytes))
    else:
        upload = await spooled(limited(request, largest_body(media_type, max_bytes), max_bytes))
    try:
        await check_recording(upload, engine, media_type)
    except BaseException:
        upload.file.close()
        raise
    return upload


async def read_uploads(request: Request, engine: Engine) -> list[UploadFile]:
    """Read all recordings of a multipart request into spooled files, rewound; the caller closes and checks them.

    Args:
        request: its body has not been read.
        engine: has the limits.

    Raises:
        RequestError: 413 for more than ``max_items`` of them or ``max_items_bytes`` together, 400 for a body that is
            malformed or holds none, or has a field of text that is no recording.
        ClientDisconnect: the client left.
    """
    if _media_type(request) != _MULTIPART:
        raise RequestError(400, "bad_request", f"a batch is multipart/form-data with several fields '{FIELD}'")
    limit = engine.settings.max_items_bytes
    form = await _parsed(request, limited(request, limit, limit), engine.settings.max_items)
    uploads = [upload for upload in form.getlist(FIELD) if isinstance(upload, UploadFile)]
    for name, other in form.multi_items():
        if name != FIELD and isinstance(other, UploadFile):
            other.file.close()
    try:
        if not uploads:
            raise RequestError(400, "bad_request", _NO_FILE)
        for field in filter(is_text_field, uploads):
            await check_recording(field, engine)
    except BaseException:
        await form.close()
        raise
    return uploads


async def check_recording(upload: UploadFile, engine: Engine, media_type: str = _MULTIPART) -> None:
    """Turn text into the recording that it holds, and refuse an empty recording, or one of more bytes than allowed.

    Args:
        upload: the recording.
        engine: has the limits.
        media_type: of the request.

    Raises:
        RequestError: 413 for more than ``max_bytes``, 400 for an empty one, or for text that holds none.
    """
    await text_to_recording(upload, engine, media_type)
    if not upload.size:
        raise RequestError(400, "bad_request", "the upload is empty")
    if upload.size > engine.settings.max_bytes:
        raise too_large(engine.settings.max_bytes)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


class _FormParser(MultiPartParser):
    """Takes each field ``file`` for a file: also one without a file name, which is then ``None``, or with ``filename*``
    (RFC 6266) alone, which RFC 7578 forbids and some clients send.
    """

    def on_headers_finished(self) -> None:
        part = self._current_part
        disposition = part.content_disposition or b""
        options = {} if b"filename=" in disposition else parse_options_header(disposition)[1]
        unnamed = options.get(b"name") == FIELD.encode() and b"filename" not in options
        if unnamed:
            part.content_disposition = disposition + b'; filename="unread"'
        super().on_headers_finished()
        if unnamed and part.file is not None and b"filename*=" not in disposition.lower():
            part.file.filename = None


async def _from_form(request: Request, chunks: AsyncGenerator[bytes, None]) -> UploadFile:
    form = await _parsed(request, chunks, 1)
    upload = form.get(FIELD)
    if isinstance(upload, UploadFile):
        return upload
    await form.close()
    raise RequestError(400, "bad_request", _NO_FILE)


async def _parsed(request: Request, chunks: AsyncGenerator[bytes, None], max_files: int) -> FormData:
    parser = _FormParser(
        request.headers, chunks, max_files=max_files, max_fields=_MAX_FIELDS, max_part_size=_ENVELOPE_BYTES
    )
    try:
        with storage():
            return await parser.parse()
    except MultiPartException as error:
        if max_files > 1 and error.message.startswith("Too many files"):
            raise RequestError(413, "too_many_items", f"a batch holds at most {max_files} recordings") from error
        raise RequestError(400, "bad_request", f"the multipart body is malformed: {error.message}") from error
