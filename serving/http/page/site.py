"""The page at ``/`` of the service, for a microphone and for files: static files, none of another host."""

from __future__ import annotations

import hashlib
import secrets
from functools import cache
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from emotions.files.html.one_script import STRIP
from serving.http.errors import of_status
from serving.worker.state import WorkerState

_FILES = Path(__file__).parent / "files"
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",  # asked for again, and answered with 304 while it is the same
}
# The waveform's library makes a style element in its shadow tree, which the nonce allows; recordings play from memory.
_POLICY = (
    "default-src 'self'; style-src 'self' 'nonce-{nonce}'; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class _File(NamedTuple):
    content: bytes
    media_type: str
    etag: str


async def index(_: Request, __: WorkerState) -> Response:
    """The page itself, with a new nonce for its styles."""
    nonce = secrets.token_urlsafe(16)
    headers = {
        **_HEADERS,
        "cache-control": "no-store",
        "content-security-policy": _POLICY.format(nonce=nonce),
        "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    }
    page = _files()["index.html"].content.decode().replace("{{nonce}}", nonce)
    return HTMLResponse(page, headers=headers)


async def file(request: Request, _: WorkerState) -> Response:
    """A script, a style or a text of the page."""
    found = _files().get(request.path_params["name"])
    if found is None:
        raise of_status(404)
    headers = {**_HEADERS, "etag": found.etag}
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)


@cache
def _files() -> dict[str, _File]:
    """All files of the page by their path below ``/page/``: names that are not among them lead nowhere."""
    files = {}
    paths = {path.relative_to(_FILES).as_posix(): path for path in sorted(_FILES.rglob("*")) if path.is_file()}
    for name, path in {**paths, STRIP.name: STRIP}.items():
        if path.suffix in _TYPES:
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            files[name] = _File(content, _TYPES[path.suffix], etag)
    return files
