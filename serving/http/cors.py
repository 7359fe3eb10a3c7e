"""Access from pages of other sites in browsers: cross-origin resource sharing (CORS)."""

from __future__ import annotations

from collections.abc import Collection

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

ANY_ORIGIN = "*"
_METHODS = ("GET", "HEAD", "POST")
_REQUEST_HEADERS = (
    *("Authorization", "X-API-Key", "Content-Type", "Content-Encoding", "X-Request-Id"),
    "Inference-Header-Content-Length",
)
_RESPONSE_HEADERS = ("X-Request-Id", "Retry-After", "WWW-Authenticate", "Inference-Header-Content-Length")


class BrowserAccess(CORSMiddleware):
    """ASGI middleware around all others: it answers preflights before keys are asked, and adds its headers to errors.

    Keys are sent in headers, never in cookies, so credentials in the sense of CORS are not allowed.

    Args:
        app: the application inside.
        origins: sites whose pages may read responses, or ``*`` for all.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_RESPONSE_HEADERS,
            # Browsers ask this where the page is public and the service is not; whoever names an origin means it.
            allow_private_network=True,
        )
