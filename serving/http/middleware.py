"""The outermost layer: every request has an id, and every error one JSON form, whoever made it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emotions.errors import Overloaded
from serving.http.api_keys import ApiKeyAuth
from serving.http.errors import RequestError, as_request_error, error_response, of_status
from serving.telemetry import access_log
from serving.telemetry.metrics import Metrics
from serving.telemetry.request_record import HEADER, RequestContext, exchange

logger = logging.getLogger("bentoml.emotions")

# BentoML refuses this one as well, but writes a traceback to the log for it.
_PICKLE = "application/vnd.bentoml+pickle"


class RequestMiddleware:
    """ASGI middleware that adds ``X-Request-Id`` and puts foreign errors (404, 405, BentoML's own) in our form.

    An answer that carries the header already is ours and passes untouched.

    Args:
        app: what answers.
        metrics: where requests are counted.
        guard: who may come in.
        admit: refuses a request that there is no room for: here for six tenths of the CPU that it takes further in.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, guard: ApiKeyAuth, admit: Callable[[RequestContext], None]
    ) -> None:
        self.app, self.metrics, self.guard, self.admit = app, metrics, guard, admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = exchange(scope)
        reply = _Reply(scope, receive, send, asked)
        try:
            await self._serve(reply)
        finally:
            self.metrics.answered(asked)
            access_log.answered(asked)

    async def _serve(self, reply: _Reply) -> None:
        scope, receive, asked = reply.scope, reply.receive, reply.asked
        try:
            self.guard.check(scope, asked)
            self.admit(asked)
            if Headers(scope=scope).get("content-type", "").startswith(_PICKLE):
                raise of_status(415)
            await self.app(scope, receive, reply)
        except (RequestError, Overloaded) as error:
            await error_response(as_request_error(error), asked)(scope, receive, reply)
        except Exception:
            if asked.status:
                raise
            logger.exception("request %s failed", asked.id)
            await error_response(of_status(500), asked)(scope, receive, reply)


class _Reply:
    """The ``send`` of one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, asked: RequestContext) -> None:
        self.scope, self.receive, self.send, self.asked = scope, receive, send, asked
        self.replaced = False

    async def __call__(self, message: Message) -> None:
        if self.replaced:
            return
        if message["type"] == "http.response.start":
            self.asked.status = message["status"]
            headers = MutableHeaders(scope=message)
            if HEADER not in headers and message["status"] >= 400:
                self.replaced = True
                allow = {"allow": headers["allow"]} if "allow" in headers else None
                response = error_response(of_status(message["status"]), self.asked, allow)
                await response(self.scope, self.receive, self.send)
                return
            headers[HEADER] = self.asked.id
        await self.send(message)
