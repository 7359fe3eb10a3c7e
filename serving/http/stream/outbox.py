"""What a stream has to send: messages in order, some of which wait for the model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import numpy as np
from starlette.websockets import WebSocket

from emotions.audio.windows import Windows
from emotions.runtime.batch_shape import Probabilities
from serving.http.errors import Body, of_status
from serving.http.stream.results import Results
from serving.http.stream.track import Cut, Due, Event, Started, Stopped
from serving.worker.engine import Engine

_MOST_PENDING = 16
"""Messages and answers that wait, of one stream: where there are more, it is not read."""
_WRITE_SEC = 30.0
"""Most seconds for which a client reads nothing."""


@dataclass(frozen=True)
class _Pending:
    """An event, and the answer to its windows, which is under way; ``received``: when its audio came."""

    event: Event
    answer: asyncio.Task[Probabilities] | None
    received: float


@dataclass(frozen=True)
class _End:
    audio_ms: float
    code: int


class Outbox:
    """Sends what events bring about, in their order.

    Args:
        socket: of the client.
        engine: has the model.
        vad: whether speech is looked for.
        results: takes the answers.
    """

    def __init__(self, socket: WebSocket, engine: Engine, results: Results, *, vad: bool) -> None:
        self._socket, self._engine, self._results, self._vad = socket, engine, results, vad
        self._queue: asyncio.Queue[_Pending | _End | Body] = asyncio.Queue(_MOST_PENDING)

    async def add(self, event: Event, received: float) -> None:
        """Have an event answered; waits while too much is waiting.

        Args:
            event: what happened.
            received: the event loop's time at which the audio came that made it known.
        """
        windows = _windows(event)
        answer = None
        if windows is not None:
            answer = asyncio.create_task(self._engine.classify_windows(windows))
            event = _without_samples(event)
        pending = _Pending(event, answer, received)
        try:
            await self._queue.put(pending)
        except asyncio.CancelledError:
            _abandon(answer)
            raise

    async def say(self, body: Body) -> None:
        """Send a message behind all others."""
        await self._queue.put(body)

    async def end(self, audio_ms: float, code: int) -> None:
        """Send the segments behind all others, and close the socket.

        Args:
            audio_ms: milliseconds of audio that came.
            code: of the closing frame.
        """
        await self._queue.put(_End(audio_ms, code))

    async def run(self) -> None:
        """Send until the end.

        Raises:
            WebSocketDisconnect: the client is gone.
            TimeoutError: it reads nothing.
            RequestError, EmotionsError: the model failed, or does not answer in time.
        """
        while not isinstance(item := await self._queue.get(), _End):
            async for body in self._bodies(item):
                await send(self._socket, body)
        await send(self._socket, self._results.closed(item.audio_ms))
        await self._socket.close(item.code)

    def drop(self) -> None:
        """Take what is waiting out of the model's queue."""
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if isinstance(item, _Pending):
                _abandon(item.answer)

    async def _bodies(self, item: _Pending | Body) -> AsyncIterator[Body]:
        if isinstance(item, dict):
            yield item
            return
        answer = None
        if item.answer is not None:
            answer = await self._in_time(item.answer)
        for body in self._told(item.event, answer):
            if body["type"] == "measurement":
                lag = asyncio.get_running_loop().time() - item.received
                self._engine.metrics.streams.lag.observe(lag)
            yield body

    async def _in_time(self, answer: asyncio.Task[Probabilities]) -> Probabilities:
        try:
            async with asyncio.timeout(self._engine.settings.timeout_sec):
                return await answer
        except TimeoutError as error:
            raise of_status(504) from error

    def _told(self, event: Event, answer: Probabilities | None) -> Iterator[Body]:
        utterance, results = event.utterance, self._results
        channel, begin = utterance.channel, utterance.begin
        match event:
            case Started():
                yield {"type": "speech.started", "channel": channel, "audio_start_ms": begin / 16}
            case Cut(windows=windows) if answer is not None:
                results.add(utterance, windows, answer)
            case Due(window=window):
                measured = results.last(utterance) if window is None or answer is None else (window, answer)
                yield results.measurement("interval", channel, *measured)
            case Stopped(end=end):
                if self._vad:
                    edges = {"audio_start_ms": begin / 16, "audio_end_ms": end / 16}
                    yield {"type": "speech.stopped", "channel": channel, **edges}
                    yield results.measurement("speech_stopped", channel, *results.last(utterance))
                if (clip := results.close(event)) is not None:
                    self._engine.watch(clip)


async def send(socket: WebSocket, body: Body) -> None:
    """Send a message to a client that has a limited time to read. Raises as ``Outbox.run``."""
    async with asyncio.timeout(_WRITE_SEC):
        await socket.send_text(json.dumps(body, separators=(",", ":"), allow_nan=False))


def _abandon(answer: asyncio.Task[Probabilities] | None) -> None:
    """Cancel an answer that nobody waits for; if it has failed, nobody needs to know."""
    if answer is not None:
        answer.cancel()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())


def _windows(event: Event) -> Windows | None:
    match event:
        case Cut(windows=windows):
            return windows
        case Due(window=window):
            return window
    return None


def _without_samples(event: Event) -> Event:
    """The event without what only the model needs: it may wait for long behind others."""
    none = np.zeros((0, 0), np.float32)
    match event:
        case Cut(windows=windows):
            return replace(event, windows=replace(windows, samples=none))
        case Due(window=Windows() as window):
            return replace(event, window=replace(window, samples=none))
    return event
