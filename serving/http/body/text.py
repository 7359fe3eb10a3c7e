"""Recordings that come as text: base64, a data URI, or either in JSON, ``{"audio": "UklGR..."}``."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from starlette.datastructures import UploadFile

from serving.http.body.bounded_json import parse_bounded
from serving.http.body.spool import storage
from serving.http.body.threads import in_thread
from serving.http.errors import RequestError
from serving.worker.engine import Engine

AUDIO = "audio"
"""Key of the recording in a JSON body."""
_HEAD_BYTES = 64
_BLOCK_BYTES = 256 << 10
_JSON_PARTS = {b"{": 4, b"[": 4, b":": 64, b'"': 64, b",": 64}
"""Most of each in a JSON body that is one object with one string; a data URI has some of its own."""
_LEAST_BYTES = 44
"""Bytes of the smallest header of a WAV file: a word that happens to be base64 holds fewer."""
_NEITHER = "is neither base64 nor a data URI"
_BREAKS = b" \t\r\n"
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def largest_text(max_bytes: int) -> int:
    """Most bytes of text that may hold a recording of ``max_bytes``: base64 is a third longer, lines and JSON add."""
    return max_bytes + max_bytes // 2 + (64 << 10)


def largest_body(media_type: str, max_bytes: int) -> int:
    """Most bytes of a body that holds a recording of ``max_bytes``, as it is or, by its media type, as text."""
    return largest_text(max_bytes) if media_type.startswith("text/") or _is_json(media_type) else max_bytes


def is_text_field(upload: UploadFile) -> bool:
    """Whether an upload is a field of a form without a file name."""
    return upload.filename is None and "content-disposition" in upload.headers


async def text_to_recording(upload: UploadFile, engine: Engine, media_type: str) -> None:
    """Replace the text of an upload by the recording that it holds; one that is not text stays as it is.

    Text is JSON, what starts as a data URI does, and base64 where it is announced: by the media type, by the part's
    ``Content-Transfer-Encoding``, or as a field of a form that has no file name.

    Args:
        upload: a spooled file, rewound.
        engine: has the limits.
        media_type: of the request.

    Raises:
        RequestError: 400, the text holds no recording; 413, JSON has too much beside it.
    """
    head = upload.file.read(_HEAD_BYTES)
    upload.file.seek(0)
    if not head:
        return
    if _is_json(media_type) or head.lstrip(_BREAKS).startswith(b"{"):
        await in_thread(upload.size, _convert, upload, True, engine.settings.max_json_bytes)
    elif head[:5].lower() == b"data:" or _is_announced(upload, head, media_type):
        await in_thread(upload.size, _convert, upload, False, engine.settings.max_json_bytes)


def recording_of(text: bytes, problem: str) -> bytes:
    """The recording in base64, plain or for URLs, with or without line breaks and padding, or in a data URI.

    Args:
        text: the text.
        problem: what the error says where it is neither.

    Raises:
        RequestError: 400, it is neither.
    """
    encoded, in_base64 = text, True
    if text[:5].lower() == b"data:":
        header, _, encoded = text.partition(b",")
        if b";base64," in text[:256].lower():  # a parameter of the media type may have a comma
            encoded = text[text[:256].lower().index(b";base64,") + 8 :]
        else:
            in_base64 = header.lower().endswith(b";base64")
    try:
        if not in_base64:
            return _from_percents(encoded)
        return _from_base64(encoded)
    except binascii.Error as error:
        raise RequestError(400, "bad_request", problem) from error


def _from_base64(text: bytes) -> bytes:
    """Decode block by block, between which other threads have the interpreter's lock."""
    pieces, rest = [], b""
    for start in range(0, len(text), _BLOCK_BYTES):
        digits = rest + text[start : start + _BLOCK_BYTES].translate(_FROM_URL_SAFE, _BREAKS)
        whole = len(digits) // 4 * 4
        pieces.append(base64.b64decode(digits[:whole], validate=True))
        rest = digits[whole:]
    rest = rest.rstrip(b"=")
    pieces.append(base64.b64decode(rest + b"=" * (-len(rest) % 4), validate=True))
    return b"".join(pieces)


def _from_percents(text: bytes) -> bytes:
    """Decode block by block: of each escape there is an object for a moment."""
    pieces, begin = [], 0
    while begin < len(text):
        end = begin + _BLOCK_BYTES
        escape = text.rfind(b"%", end - 2, end)  # one that the end would cut
        end = escape if escape >= 0 else end
        pieces.append(unquote_to_bytes(text[begin:end]))
        begin = end
    return b"".join(pieces)


def _convert(upload: UploadFile, is_json: bool, max_json_bytes: int) -> None:
    """Write the recording over the text, and name it: it is text no longer."""
    file = upload.file
    text = file.read()
    recording = _from_json(text, max_json_bytes) if is_json else recording_of(text, _problem(upload))
    if is_text_field(upload) and len(recording) < _LEAST_BYTES:
        raise RequestError(400, "bad_request", _problem(upload))
    with storage():
        file.seek(0)
        file.truncate()
        file.write(recording)
        file.seek(0)
    upload.size, upload.filename = len(recording), "recording"


def _from_json(text: bytes, max_json_bytes: int) -> bytes:
    body, strings = parse_bounded(text, max_json_bytes, _JSON_PARTS)
    if not isinstance(body, dict) or [*body] != [AUDIO] or not isinstance(body[AUDIO], str):
        message = (
            f'JSON is {{"{AUDIO}": "<base64>"}} here, with a recording in base64 or in a data URI, and no other key'
        )
        raise RequestError(400, "bad_request", message)
    return recording_of(strings.text(body[AUDIO]), f"{AUDIO!r} in the JSON {_NEITHER}")


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def _is_announced(upload: UploadFile, head: bytes, media_type: str) -> bool:
    """Whether an upload is said to be text, and does not start as something else."""
    if upload.headers.get("content-transfer-encoding", "").lower() == "base64":
        return True
    if is_text_field(upload):
        return True
    start = head.translate(None, _BREAKS)
    return media_type.startswith("text/") and start.isascii() and start.decode().isprintable()


def _problem(upload: UploadFile) -> str:
    if is_text_field(upload):
        return "the multipart field 'file' is text: give it a file name, or base64 or a data URI as its text"
    return f"the {'file' if upload.filename else 'body'} {_NEITHER}"
