"""Live audio to ``/v1/stream``, and what the service says of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emotions.client.messages import Json
from emotions.client.stream_options import Block, StreamOptions
from emotions.errors import ServiceError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection as AsyncConnection
    from websockets.sync.client import ClientConnection

_CLOSE = json.dumps({"type": "session.close"})
_CLOSE_SEC = 1.0
"""Seconds that the service has to take leave of a client that reads no more."""
_FATAL_BUT = "invalid_audio_frame"


@dataclass(frozen=True)
class StreamRequest:
    """Where a stream goes: the service's address, headers of the request, seconds until it is accepted."""

    url: str
    headers: dict[str, str]
    timeout: float

    def connect(self) -> dict[str, Any]:
        """Arguments of websockets' ``connect``."""
        scheme, _, rest = self.url.partition("://")
        return {
            "uri": f"{'wss' if scheme == 'https' else 'ws'}://{rest}/v1/stream",
            "additional_headers": self.headers,
            "open_timeout": self.timeout,
            "max_size": None,  # the last message has all segments
            "close_timeout": _CLOSE_SEC,
            "ping_interval": None,  # an answer would wait behind audio that is not read yet
        }


def stream(request: StreamRequest, options: StreamOptions, audio: Iterable[Block]) -> Iterator[Json]:
    """Send audio from a thread, and give the service's messages as they come.

    Args:
        request: where to.
        options: how the audio is written.
        audio: blocks of it, as they are recorded; each is sent at once.

    Raises:
        ServiceError: the service refuses the stream, ends it for an error, or is gone.
    """
    from websockets.sync.client import connect

    with _service_errors(request), connect(**request.connect()) as socket:
        sender = _Sender(socket, options, audio)
        sender.start()
        try:
            yield from _Reader().read_all(socket)
        finally:
            sender.stopped = True
        if sender.error is not None:
            raise sender.error


async def stream_async(
    request: StreamRequest, options: StreamOptions, audio: AsyncIterable[Block] | Iterable[Block]
) -> AsyncIterator[Json]:
    """As ``stream``, for asyncio; blocks that an ordinary iterable gives are taken without waiting."""
    from websockets.asyncio.client import connect

    with _service_errors(request):
        async with connect(**request.connect()) as socket:
            failures, reader = list[Exception](), _Reader()
            sender = asyncio.create_task(_send_all(socket, options, audio, failures))
            try:
                async for text in socket:
                    yield reader.read(text)
                    if reader.is_closed:
                        break
            finally:
                sender.cancel()
                await asyncio.wait([sender])
            if failures:
                raise failures[0]
            reader.check()


class _Sender(threading.Thread):
    """Sends audio until it ends, the stream does, or nobody reads any more."""

    def __init__(self, socket: ClientConnection, options: StreamOptions, audio: Iterable[Block]) -> None:
        super().__init__(name="emotions-stream", daemon=True)
        self.stopped = False
        self.error: Exception | None = None
        self._socket, self._options, self._audio = socket, options, audio

    def run(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            self._socket.send(self._options.update())
            for block in self._audio:
                for message in self._options.messages(block):
                    if self.stopped:
                        return
                    self._socket.send(message)
            self._socket.send(_CLOSE)
        except ConnectionClosed:
            pass  # the reader says why
        except Exception as error:  # noqa: BLE001 - whatever the audio's source raises is raised by the reader
            self.error = error
            self._socket.close()


async def _send_all(
    socket: AsyncConnection,
    options: StreamOptions,
    audio: AsyncIterable[Block] | Iterable[Block],
    failures: list[Exception],
) -> None:
    from websockets.exceptions import ConnectionClosed

    try:
        await socket.send(options.update())
        async for block in _blocks(audio):
            for message in options.messages(block):
                await socket.send(message)
        await socket.send(_CLOSE)
    except ConnectionClosed:
        pass
    except Exception as error:  # noqa: BLE001 - as in ``_Sender``
        failures.append(error)
        await socket.close()


async def _blocks(audio: AsyncIterable[Block] | Iterable[Block]) -> AsyncIterator[Block]:
    if isinstance(audio, AsyncIterable):
        async for block in audio:
            yield block
    else:
        for block in audio:
            yield block


class _Reader:
    """Reads messages, and remembers how the stream ended."""

    def __init__(self) -> None:
        self.is_closed = False
        self._error: Json | None = None

    def read_all(self, socket: ClientConnection) -> Iterator[Json]:
        for text in socket:
            yield self.read(text)
            if self.is_closed:
                break
        self.check()

    def read(self, text: str | bytes) -> Json:
        message: Json = json.loads(text)
        self.is_closed = message["type"] == "session.closed"
        if message["type"] == "error" and message["code"] != _FATAL_BUT:
            self._error = message
        return message

    def check(self) -> None:
        """Raise the error that ended the stream."""
        if self._error is not None:
            raise ServiceError(self._error["message"], status=0, code=self._error["code"])


@contextlib.contextmanager
def _service_errors(request: StreamRequest) -> Iterator[None]:
    """What the network and websockets raise, as ServiceError."""
    from websockets.exceptions import InvalidStatus, WebSocketException

    try:
        yield
    except InvalidStatus as error:
        raise _refusal(error.response.status_code, error.response.body) from error
    except (WebSocketException, OSError) as error:
        lost = f"{request.url}: no answer ({str(error) or type(error).__name__})"
        raise ServiceError(lost, status=0, code="unreachable") from error


def _refusal(status: int, body: bytes | bytearray | None) -> ServiceError:
    try:
        answer = json.loads(body or b"")
        return ServiceError(
            answer["error"]["message"],
            status=status,
            code=answer["error"]["code"],
            request_id=answer.get("request_id", ""),
        )
    except (ValueError, KeyError, TypeError):
        return ServiceError(f"the service answered {status}", status=status, code="refused")
