"""The outermost layer: every request has an id, and every error, whoever raised it, the same JSON form."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from serving.http.api_keys import ApiKeyAuth
from serving.http.body.arriving import ArrivingBody, client_of
from serving.http.errors import error_response, of_status, to_request_error
from serving.http.route_table import answer, find_route
from serving.http.stream.streams import Streams
from serving.telemetry.requests import HEADER, RequestContext, log_request, new_context
from serving.worker.state import WorkerState

# BentoML refuses this one as well, but writes a traceback to the log for it.
_PICKLE = "application/vnd.bentoml+pickle"


class RequestMiddleware:
    """ASGI middleware: API keys, admission, metrics, access log, ``X-Request-Id``, and one form for all errors.

    Requests are refused here under overload because that takes six tenths of the CPU of a refusal by a handler.

    Args:
        app: the application inside.
        worker: the worker's state.
        auth: who may come in.
        routes: answers our own routes, past BentoML's layers, of which they use none.
    """

    def __init__(self, app: ASGIApp, worker: WorkerState, auth: ApiKeyAuth, routes: ASGIApp) -> None:
        self.app, self.worker, self.auth, self.routes = app, worker, auth, routes
        self.streams = Streams(worker, auth)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        route, scope["path_params"] = find_route(scope["path"])
        if scope["type"] == "websocket":
            await self.streams.serve(WebSocket(scope, receive, send), route)
            return
        context = new_context(scope, route)
        reply = _Reply(scope, receive, send, context)
        try:
            await self._serve(reply)
        finally:
            reply.release()
            self.worker.metrics.count_request(context)
            log_request(context)

    async def _serve(self, reply: _Reply) -> None:
        scope, receive, context = reply.scope, reply.receive, reply.context
        try:
            self.auth.check(scope, context)
            engine = self.worker.engine_of(context)
            if engine is not None:
                reply.body = receive = ArrivingBody(scope, receive, engine, client_of(scope, context))
            if Headers(scope=scope).get("content-type", "").startswith(_PICKLE):
                raise of_status(415)
            await self._answer(scope, receive, reply)
        except Exception as error:
            if context.status:
                raise
            response = error_response(to_request_error(error, context.request_id), context)
            await response(scope, receive, reply)

    async def _answer(self, scope: Scope, receive: Receive, reply: _Reply) -> None:
        """Answer a request that runs the model past Starlette's layers as well, whose checks it has passed."""
        route = reply.context.route
        if route.handler and route.classifies and scope["method"] == route.method:
            response = await answer(Request(scope, receive, reply), self.worker, route.handler)
            await response(scope, receive, reply)
        else:
            await (self.routes if route.handler else self.app)(scope, receive, reply)


class _Reply:
    """The ``send`` of one request.

    A request is in flight until its response starts: a client that reads slowly takes no place from others.
    An error response without our header was made by Starlette or BentoML and is replaced.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        self.scope, self.receive, self.send, self.context = scope, receive, send, context
        self.body: ArrivingBody | None = None
        self.replaced = False

    async def __call__(self, message: Message) -> None:
        if self.replaced:
            return
        if message["type"] == "http.response.start":
            self.release()
            self.context.status = message["status"]
            headers = MutableHeaders(scope=message)
            if HEADER not in headers and message["status"] >= 400:
                self.replaced = True
                allow = {"allow": headers["allow"]} if "allow" in headers else None
                response = error_response(of_status(message["status"]), self.context, allow)
                await response(self.scope, self.receive, self.send)
                return
            headers[HEADER] = self.context.request_id
        await self.send(message)

    def release(self) -> None:
        if self.body is not None:
            self.body.close()
