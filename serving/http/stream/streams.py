"""All streams of a worker: who may open one, and what becomes of it."""

from __future__ import annotations

import contextlib
from functools import partial
from urllib.parse import urlsplit

from starlette.websockets import WebSocket, WebSocketDisconnect

from emotions.errors import TooManyRequests
from serving.http.api_keys import ApiKeyAuth, presented_key
from serving.http.body.arriving import client_of
from serving.http.cors import ANY_ORIGIN
from serving.http.errors import RequestError, error_response, of_status, to_request_error
from serving.http.models import named_model
from serving.http.stream.conversation import ClientGone, Conversation
from serving.http.stream.messages import StreamError
from serving.http.stream.outbox import send
from serving.http.stream.schedule import Schedule
from serving.settings import Settings
from serving.telemetry.requests import HEADER, RequestContext, RouteInfo, log_request, new_context
from serving.worker.engine import Engine
from serving.worker.shares import Shares
from serving.worker.state import WorkerState

PROTOCOL = "emotions.v1"
KEY_PROTOCOL = "emotions.key."
"""Subprotocols: the one that is spoken, and what an API key follows, since pages cannot send headers."""
PATHS = ("/v1/stream", "/v1/models/{name}/stream")
"""Routes of streams: of the default model, and of one by its name."""
_FAILED = 1011
"""Code of the closing frame where the stream failed (RFC 6455)."""


class Streams:
    """The streams of one worker.

    Args:
        worker: the worker's state.
        auth: who may come in.
    """

    def __init__(self, worker: WorkerState, auth: ApiKeyAuth) -> None:
        self._worker, self._auth = worker, auth
        self._schedule = Schedule()
        self._places: Shares | None = None
        self._waiting: Shares | None = None  # places of those that have not said what they want

    async def serve(self, socket: WebSocket, route: RouteInfo) -> None:
        """Serve a client that asks for a WebSocket.

        Args:
            socket: not accepted yet.
            route: the route of its path.
        """
        context = new_context({**socket.scope, "method": "GET"}, route)
        try:
            engine, key_follows = self._admit(socket, context)
            with engine.in_use():
                await self._converse(socket, context, engine, key_follows=key_follows)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            refusal = to_request_error(error, context.request_id)
            context.status = refusal.status
            with contextlib.suppress(WebSocketDisconnect, OSError):
                await socket.send_denial_response(error_response(refusal, context))
        finally:
            self._worker.metrics.requests.labels(context.route.path, context.method, context.status).inc()
            log_request(context)

    def _admit(self, socket: WebSocket, context: RequestContext) -> tuple[Engine, bool]:
        """The engine, and whether the API key is to come with the first message.

        Raises:
            RequestError: there is no such stream, or not for this client.
            NotReady: the model is not loaded.
        """
        if context.route.path not in PATHS:
            raise of_status(404)
        engine = named_model(context.model, self._worker).loaded_engine()
        if self._worker.drain.draining:
            raise RequestError(503, "shutting_down", "the service is shutting down", retry=True)
        _check_origin(socket, engine.settings)
        presented = presented_key(socket.headers) or _key_of(socket)
        key_follows = self._auth.keys is not None and not presented
        if not key_follows:
            self._auth.check(socket.scope, context, presented)
        return engine, key_follows

    async def _converse(self, socket: WebSocket, context: RequestContext, engine: Engine, *, key_follows: bool) -> None:
        waiting, place = self._places_of(engine.settings)
        if not waiting.take(client_of(socket.scope, context)):
            raise TooManyRequests("many streams are being opened already; try again later")
        offered = PROTOCOL if PROTOCOL in socket.scope["subprotocols"] else None
        metrics = engine.metrics.streams
        check = partial(self._enter, socket, context, waiting, place, key_follows=key_follows)
        conversation = Conversation(socket, engine, self._schedule, self._worker.drain, check)
        metrics.open.inc()
        try:
            await socket.accept(offered, [(HEADER.encode(), context.request_id.encode())])
            context.status = 101
            await self._run(conversation, context)
        finally:
            waiting.leave()
            place.leave()
            metrics.open.dec()
            metrics.ended.labels(conversation.reason).inc()
            context.log_fields["audio_sec"] = round(conversation.audio_sec, 3)
            context.code = "" if conversation.reason == "closed" else conversation.reason

    async def _run(self, conversation: Conversation, context: RequestContext) -> None:
        socket = conversation.socket
        try:
            await send(socket, {"type": "session.created", "id": context.request_id})
            await conversation.run()
        except* (ClientGone, WebSocketDisconnect, OSError):  # TimeoutError, of a client that reads nothing, is one
            conversation.reason = "client_gone"
        except* Exception as errors:  # noqa: BLE001 - as in ``serve``
            failure = to_request_error(_first(errors), context.request_id)
            conversation.reason = failure.code
            with contextlib.suppress(WebSocketDisconnect, OSError):
                await send(socket, StreamError(failure.code, str(failure)).body)
                await socket.close(_FAILED)

    def _enter(
        self, socket: WebSocket, context: RequestContext, waiting: _Place, place: _Place, key: str, *, key_follows: bool
    ) -> None:
        """Check the key of the first message where none came before, and take a place. Raises StreamError."""
        if key_follows:
            try:
                self._auth.check(socket.scope, context, key)
            except RequestError as error:
                raise StreamError(error.code, str(error)) from error
        waiting.leave()
        if not place.take(client_of(socket.scope, context)):
            raise StreamError("limit", "as many streams as allowed are open already; try again later")

    def _places_of(self, settings: Settings) -> tuple[_Place, _Place]:
        """A place for a stream that waits to be configured, and one for it then; neither is taken."""
        if self._places is None or self._waiting is None:
            self._waiting, self._places = Shares(settings.max_streams), Shares(settings.max_streams)
        return _Place(self._waiting), _Place(self._places)


class _Place:
    """One of the places for streams, given back once."""

    def __init__(self, places: Shares) -> None:
        self._places = places
        self._client: str | None = None

    def take(self, client: str) -> bool:
        if not self._places.take(client):
            return False
        self._client = client
        return True

    def leave(self) -> None:
        if self._client is not None:
            self._places.give_back(self._client)
            self._client = None


def _check_origin(socket: WebSocket, settings: Settings) -> None:
    """Refuse pages of other sites, unless they may call the service: browsers themselves let them open any socket."""
    origin = socket.headers.get("origin")
    if origin is None or ANY_ORIGIN in settings.cors_origins or origin.lower() in settings.cors_origins:
        return
    if urlsplit(origin).netloc.lower() != socket.headers.get("host", "").lower():
        raise RequestError(403, "forbidden_origin", "pages of this site may not open streams")


def _key_of(socket: WebSocket) -> str:
    """The API key among the subprotocols that a client offers; empty where there is none."""
    keys = (each for each in socket.scope["subprotocols"] if each.startswith(KEY_PROTOCOL))
    return next(keys, KEY_PROTOCOL).removeprefix(KEY_PROTOCOL)


def _first(errors: BaseExceptionGroup[BaseException]) -> Exception:
    """The first single error in a group."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else RuntimeError(repr(error))
