"""The outermost layer: every request has an id, and every error one JSON form, whoever made it."""

from __future__ import annotations

import logging
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import error_response, of_status

HEADER = "x-request-id"
logger = logging.getLogger("bentoml.emotions")

_KEY = "emotions.request_id"
# BentoML refuses this one as well, but writes a traceback to the log for it.
_PICKLE = "application/vnd.bentoml+pickle"
_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id(request: HTTPConnection) -> str:
    """The request's id: the client's own where it is sane, else a new one."""
    scope = request.scope
    if _KEY not in scope:
        given = Headers(scope=scope).get(HEADER, "")
        scope[_KEY] = given if _SANE.fullmatch(given) else uuid.uuid4().hex
    return str(scope[_KEY])


class Envelope:
    """ASGI middleware that adds ``X-Request-Id`` and puts foreign errors (404, 405, BentoML's own) in our form.

    An answer that carries the header already is ours and passes untouched.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        reply = _Reply(scope, receive, send)
        if Headers(scope=scope).get("content-type", "").startswith(_PICKLE):
            await error_response(of_status(415), reply.id)(scope, receive, send)
            return
        try:
            await self.app(scope, receive, reply)
        except Exception:
            if reply.started:
                raise
            logger.exception("request %s failed", reply.id)
            await error_response(of_status(500), reply.id)(scope, receive, send)


class _Reply:
    """The ``send`` of one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self.send = scope, receive, send
        self.id = request_id(HTTPConnection(scope))
        self.started = False
        self.replaced = False

    async def __call__(self, message: Message) -> None:
        if self.replaced:
            return
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            if HEADER not in headers and message["status"] >= 400:
                self.replaced = True
                allow = {"allow": headers["allow"]} if "allow" in headers else None
                response = error_response(of_status(message["status"]), self.id, allow)
                await response(self.scope, self.receive, self.send)
                return
            headers[HEADER] = self.id
        await self.send(message)
