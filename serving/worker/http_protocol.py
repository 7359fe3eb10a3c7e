"""HTTP/1.1 of one worker: uvicorn's protocol with limits on what a client sends before a request begins.

Uvicorn keeps headers of any number and length, waits for ever for the rest of them, and takes any number of
connections and of pipelined requests.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serving.settings import Settings
from serving.worker.request_starts import RequestStarts

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

_URL_BYTES = 8 << 10
_SMALL_PIECES = 4096
_PIECE_BYTES = 16
"""So many pieces of a chunked body may be as small as they are; of all there may be one for each of these bytes."""
_DRAIN_SEC = 0.05
"""Pause between two reads of what is dropped: a body that was refused, whose sender reads the response at its end."""
_MOST_PIPELINED = 32
"""Most requests that wait on a connection for the response to an earlier one."""
_FRAMING = 16
"""Bytes that frame a byte of a chunked body: one may come alone, behind its size."""
_WRITE_SEC = 30.0
"""Most seconds for which a client reads nothing of a response."""
_OTHER_FILES = 128
"""Open files of the process other than connections and bodies."""


@dataclass(frozen=True)
class Direct:
    """An application that answers some paths past the layers of the server's own.

    Attributes:
        app: the application.
        answers: whether it answers a path.
    """

    app: Any
    answers: Callable[[str], bool]


class _Refused(Exception):
    """Raised inside the parser, which stops then."""


def bounded_protocol(settings: Settings, direct: Direct | None = None) -> type[asyncio.Protocol]:
    """Uvicorn's protocol with the limits of the settings; this process may then open as many files as they need.

    Args:
        settings: the service's settings.
        direct: what answers some paths in place of the server's application; None for nothing.
    """
    limits = {
        "max_bytes": settings.max_header_bytes,
        "max_count": settings.max_header_count,
        "header_sec": settings.header_sec,
        "max_connections": _connections(settings),
        "idle": {},
        "starts": RequestStarts(),
        "direct": direct,
    }
    return type("BoundedProtocol", (_BoundedProtocol,), limits)


def _connections(settings: Settings) -> int:
    """Most connections, beside which there is a file for each body: a server without one accepts nothing any more."""
    others = _OTHER_FILES + settings.max_receiving + settings.max_in_flight
    needed = settings.max_connections + others
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return settings.max_connections if soft == resource.RLIM_INFINITY else max(1, min(needed, soft) - others)


class _BoundedProtocol(HttpToolsProtocol):
    """One connection.

    It is idle while no request is being answered; of idle connections the first to have become so is the first to be
    closed where there are too many.
    """

    max_bytes: int
    max_count: int
    header_sec: float
    max_connections: int
    idle: dict[_BoundedProtocol, None]
    starts: RequestStarts
    direct: Direct | None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        trusted = self.config.forwarded_allow_ips
        self._direct_app = ProxyHeadersMiddleware(self.direct.app, trusted) if self.direct else None
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._refusal: HTTPStatus | None = None
        self._answered: RequestResponseCycle | None = None
        self._messages = 0
        self._is_complete = True
        self._is_upgraded = False
        self._in_headers = False
        self._header_bytes = self._header_count = 0
        self._body_bytes = self._other_bytes = self._pieces = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a connection, in the place of an idle one where there are too many."""
        super().connection_made(transport)
        self.idle[self] = None
        self._start_timer()
        if len(self.connections) > self.max_connections:
            oldest = next(iter(self.idle))
            if oldest is self:
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            else:
                oldest.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self.idle.pop(self, None)
        self._stop_timer()
        self._stop_write_timer()
        self._end_requests()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """End what is being answered: the transport closes at the end of what a client sends."""
        self._end_requests()

    def close(self) -> None:
        """Close the connection, and count it no longer."""
        self.idle.pop(self, None)
        self.connections.discard(self)
        self._end_requests()
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and count what is neither known as headers nor body: parts of them, and framing."""
        if self._refusal is not None:
            return
        messages, body_bytes = self._messages, self._body_bytes
        super().data_received(data)
        if self._is_upgraded or self.transport.is_closing():
            return
        if messages == self._messages and not self._is_complete:
            self._other_bytes += len(data) - (self._body_bytes - body_bytes)
            if self._other_bytes > self.max_bytes + _FRAMING * self._body_bytes:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if not self._is_answering():
            self._start_timer()
            if not self._is_complete and not self._in_headers:
                self.flow.pause_reading()
                self.loop.call_later(_DRAIN_SEC, self._read_on)

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to the protocol of WebSockets, unless an earlier request is being answered."""
        if self._is_answering() or self._refusal is not None:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        self._is_upgraded = True
        self._stop_timer()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or was refused while it was parsed."""
        self._refuse(self._refusal or HTTPStatus.BAD_REQUEST, "" if self._refusal else msg)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._messages += 1
        self._is_complete, self._in_headers = False, True
        self._header_bytes = self._header_count = 0
        self._body_bytes = self._other_bytes = self._pieces = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        super().on_url(url)
        if len(self.url) > min(_URL_BYTES, self.max_bytes):
            self._stop_parsing(HTTPStatus.REQUEST_URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer behind a chunked body."""
        self._header_count += 1
        self._header_bytes += len(name) + len(value)
        if self._header_count > self.max_count or self._header_bytes + len(self.url) > self.max_bytes:
            self._stop_parsing(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer a request."""
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._stop_parsing(HTTPStatus.TOO_MANY_REQUESTS)
        self._stop_timer()
        self._in_headers = False
        self.idle.pop(self, None)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body_bytes += len(body)
        self._pieces += 1
        if self._pieces > _SMALL_PIECES + self._body_bytes // _PIECE_BYTES:
            self._stop_parsing(HTTPStatus.BAD_REQUEST)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._is_complete = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one: for the rest of this one a limited time."""
        super().on_response_complete()
        if self.transport.is_closing() or self._is_answering():
            return
        self.idle[self] = None
        if not self._is_complete:
            if self.expect_100_continue and not self._body_bytes:
                self.close()  # whether the body comes, or another request, is the client's choice
            else:
                self._start_timer()

    def pause_writing(self) -> None:
        """Give a client that does not read its response a limited time."""
        super().pause_writing()
        self._stop_write_timer()
        self._write_timer = self.loop.call_later(_WRITE_SEC, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on writing."""
        self._stop_write_timer()
        super().resume_writing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        if self._direct_app and self.direct and self.direct.answers(cycle.scope["path"]):
            app = self._direct_app
        self.starts.add(self.loop, cycle, partial(super()._start_asgi_task, cycle, app))

    def _end_requests(self) -> None:
        """Tell all requests of the connection that nobody reads their responses; uvicorn tells the last one."""
        for cycle in (self._answered, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _stop_parsing(self, status: HTTPStatus) -> None:
        self._refusal = status
        raise _Refused

    def _refuse(self, status: HTTPStatus, message: str = "") -> None:
        """Answer by a bare status, unless the response to an earlier request is under way, and close the connection."""
        self._refusal = status
        if not self._is_answering() and not self.transport.is_closing():
            content = (message or status.phrase).encode()
            head = f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            head += f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode() + content)
        self.close()

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_sec, self._end_waiting)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _end_waiting(self) -> None:
        """Close a connection on which no request began in time, or which still sends one that was answered."""
        self._timer = None
        if self._in_headers:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.close()
