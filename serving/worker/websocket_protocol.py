"""WebSockets of one worker: uvicorn's protocol with limits on what a client sends and on what it does not read.

Uvicorn closes every socket at once when the server is told to end, answers pings into a buffer that nobody reads,
expands compressed messages of any size, and waits for ever for a client to take the last bytes.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.websockets.wsproto_impl import FrameTooLargeError, WebsocketBuffer, WSProtocol
from wsproto import events

from serving.settings import Settings

MAX_MESSAGE_BYTES = 1 << 20
"""Largest message of a client."""
TOO_LARGE, TOO_MANY = 1009, 1008
"""Codes of the disconnect messages behind which the application may still send."""
_MOST_QUEUED = 4096
"""Messages that one read of the socket may bring."""
_WRITE_SEC = 30.0
"""Most seconds for which a client reads nothing."""
_LINGER_SEC = 12.0
"""Seconds that a client has to take the last bytes: more than uvicorn waits for it to close."""
_QUIET = logging.getLogger("uvicorn.error.websocket")
_QUIET.setLevel(logging.WARNING)  # uvicorn logs raw paths, with what a client may have written there


def bounded_websocket(settings: Settings) -> type[asyncio.Protocol]:
    """Uvicorn's protocol with the limits of the settings."""
    seconds = settings.drain_delay_sec + settings.drain_sec
    return type("BoundedWebSocket", (_BoundedWebSocket,), {"shutdown_sec": seconds})


class _BoundedWebSocket(WSProtocol):
    """One connection."""

    shutdown_sec: float

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.config.ws_per_message_deflate = False
        self.ping_interval = None  # the answer would wait behind audio that is not read yet
        self.logger = _QUIET
        self.buffer = WebsocketBuffer(MAX_MESSAGE_BYTES)
        self._refused = False
        self._abort_timer: asyncio.TimerHandle | None = None
        self._shutdown_timer: asyncio.TimerHandle | None = None

    def handle_message(self, event: events.TextMessage | events.BytesMessage) -> None:
        """Take a part of a message; behind one that is refused none is taken."""
        if self._refused:
            return
        try:
            self.buffer.extend(event)
        except FrameTooLargeError:
            self._refuse(TOO_LARGE)
            return
        if event.message_finished:
            self.queue.put_nowait(self.buffer.to_message())
            self.buffer.clear()
            self._pause()
            if self.queue.qsize() > _MOST_QUEUED:
                self._refuse(TOO_MANY)

    def handle_ping(self, event: events.Ping) -> None:
        """Answer a ping, unless the client does not read the answers."""
        if self.writable.is_set():
            super().handle_ping(event)

    def pause_writing(self) -> None:
        """Give a client that does not read a limited time."""
        super().pause_writing()
        self._abort_after(_WRITE_SEC)

    def resume_writing(self) -> None:
        """Go on writing."""
        self._stop_timers()
        super().resume_writing()

    def shutdown(self) -> None:
        """Leave the connection to the application, which ends it when the service drains; then end it."""
        self._shutdown_timer = self.loop.call_later(self.shutdown_sec, self._shut_down)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Give the client a limited time to take the last bytes."""
        super().on_task_complete(task)
        if not self.disconnected:
            self._abort_after(_LINGER_SEC)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timers()
        if self._shutdown_timer is not None:
            self._shutdown_timer.cancel()
        super().connection_lost(exc)

    def _refuse(self, code: int) -> None:
        self._refused = True
        self.buffer.clear()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
        self._pause()

    def _pause(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _shut_down(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def _abort_after(self, seconds: float) -> None:
        self._stop_timers()
        self._abort_timer = self.loop.call_later(seconds, self.transport.abort)

    def _stop_timers(self) -> None:
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None
