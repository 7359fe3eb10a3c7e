"""One client of ``/v1/stream``, from its first message to the last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.websockets import WebSocket

from emotions.audio.speech.network import speech_network
from emotions.errors import ConfigError
from serving.http.stream.messages import Command, StreamConfig, StreamError, Update, config_body, read_message
from serving.http.stream.outbox import Outbox, send
from serving.http.stream.results import Results
from serving.http.stream.schedule import Schedule
from serving.http.stream.session import Session
from serving.settings import Settings
from serving.worker.engine import Engine
from serving.worker.state import Drain
from serving.worker.websocket_protocol import TOO_LARGE, TOO_MANY

DONE, GOING_AWAY, REFUSED = 1000, 1001, 1008
"""Codes of closing frames (RFC 6455)."""
_CODES = {"message_too_large": 1009}


class ClientGone(Exception):
    """Raised where a client closes the connection, or loses it."""


@dataclass
class Conversation:
    """Reads what a client sends, as fast as the model and the client's own reading allow.

    Args:
        socket: of the client, accepted.
        engine: has the model.
        schedule: of all streams.
        drain: of the worker.
        check_key: called with the API key of the first message; raises StreamError where that does not do.

    Attributes:
        audio_sec: seconds of audio that came.
        reason: why it ended: ``closed``, ``shutting_down``, or the code of an error.
    """

    socket: WebSocket
    engine: Engine
    schedule: Schedule
    drain: Drain
    check_key: Callable[[str], None]
    audio_sec: float = 0.0
    reason: str = "closed"
    _timeout: asyncio.Timeout | None = None
    _is_configured: bool = False
    _begun: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    _first_audio: float = 0.0

    async def run(self) -> None:
        """Talk to the client until one of the two ends it.

        Raises:
            ExceptionGroup: ClientGone, or what ``Outbox.run`` raises.
        """
        self.drain.on_begin.add(self._wake)
        try:
            if (config := await self._configured()) is not None:
                await self._stream(config)
        finally:
            self.drain.on_begin.discard(self._wake)

    async def _configured(self) -> StreamConfig | None:
        """The configuration that the client wants; None where it ends before."""
        try:
            while (message := await self._next()) is not None:
                if isinstance(message, bytes):
                    error = StreamError("invalid_audio_frame", "audio comes after session.update")
                    await send(self.socket, error.body)
                elif isinstance(message, Update):
                    self._check(message)
                    self._is_configured = True
                    return message.session
                elif message.type == "session.close":
                    break
        except StreamError as error:
            self.reason = error.code
            await send(self.socket, error.body)
        await send(self.socket, {"type": "session.closed", "audio_ms": 0.0, "segments": []})
        await self.socket.close(self._code)
        return None

    def _check(self, update: Update) -> None:
        self.check_key(update.key)
        update.session.check_targets(self.engine.predictor.manifest.targets)
        if update.session.vad:
            try:
                speech_network()
            except ConfigError as error:
                raise StreamError("not_installed", str(error)) from error

    async def _stream(self, config: StreamConfig) -> None:
        predictor = self.engine.predictor
        network, measures = speech_network() if config.vad else None, config.vad and self.engine.watches_drift
        session = Session(config, predictor.window_spec, network, measures=measures)
        outbox = Outbox(self.socket, self.engine, Results(predictor, config), vad=config.vad)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(outbox.run())
                await outbox.say(config_body(config))
                await self._listen(config, session, outbox)
                await outbox.end(round(1000 * self.audio_sec, 3), self._code)
        finally:
            outbox.drop()

    async def _listen(self, config: StreamConfig, session: Session, outbox: Outbox) -> None:
        try:
            while (message := await self._next()) is not None:
                if isinstance(message, bytes):
                    await self._take_audio(message, config, session, outbox)
                elif isinstance(message, Update):
                    raise StreamError("config_invalid", "session.update comes once, before audio")
                elif message.type == "flush":
                    for event in session.measure():
                        await outbox.add(event, self._now)
                elif message.type == "session.close":
                    break
        except StreamError as error:
            self.reason = error.code
            await outbox.say(error.body)
        await self._push(session, None, outbox)

    async def _take_audio(self, data: bytes, config: StreamConfig, session: Session, outbox: Outbox) -> None:
        """Take audio, a second at a time: others wait for it."""
        self._check_pace(len(data) / config.second_bytes)
        try:
            for at in range(0, len(data), config.second_bytes):
                await self._push(session, data[at : at + config.second_bytes], outbox)
        except StreamError as error:
            if error.code != "invalid_audio_frame":
                raise
            await outbox.say(error.body)

    async def _push(self, session: Session, data: bytes | None, outbox: Outbox) -> None:
        received = self._now
        for event in await self.schedule.push(session, data):
            await outbox.add(event, received)

    def _check_pace(self, seconds: float) -> None:
        """Count audio; refuse what is more than a stream may have, or comes too early."""
        settings, now = self._settings, self._now
        if self.audio_sec + seconds > settings.stream_sec:
            raise StreamError("limit", f"a stream has at most {settings.stream_sec:g} s of audio")
        self._first_audio = self._first_audio or now
        ahead = self.audio_sec + seconds - (now - self._first_audio)
        if settings.stream_ahead_sec is not None and ahead > settings.stream_ahead_sec:
            most = f"{settings.stream_ahead_sec:g} s"
            raise StreamError("too_fast", f"the audio is {ahead:.1f} s ahead of real time, at most {most} are allowed")
        self.audio_sec += seconds
        self.engine.metrics.streams.audio_seconds.inc(seconds)

    async def _next(self) -> Update | Command | bytes | None:
        """The client's next message; None where the service shuts down.

        Raises:
            StreamError: it is none, or did not come in time.
            ClientGone: there will be none.
        """
        if self._ends():
            return None
        ends = self._begun + self._settings.stream_sec
        idle = (self._now if self._is_configured else self._begun) + self._settings.stream_idle_sec
        try:
            async with asyncio.timeout_at(min(ends, idle)) as self._timeout:
                message = await self.socket.receive()
        except TimeoutError:
            if self._ends():
                return None
            raise self._out_of_time(ends <= idle) from None
        finally:
            self._timeout = None
        if message["type"] == "websocket.disconnect":
            raise _disconnected(message.get("code"))
        if (text := message.get("text")) is not None:
            return read_message(text)
        return bytes(message["bytes"])

    def _ends(self) -> bool:
        """Whether the service shuts down."""
        if self.drain.draining:
            self.reason = "shutting_down"
        return self.drain.draining

    def _out_of_time(self, over: bool) -> StreamError:
        if over:
            return StreamError("limit", f"a stream lasts at most {self._settings.stream_sec:g} s")
        return StreamError("idle", f"no message came for {self._settings.stream_idle_sec:g} s")

    def _wake(self) -> None:
        """Wait no longer for a message."""
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(self._now)

    @property
    def _settings(self) -> Settings:
        return self.engine.settings

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def _code(self) -> int:
        """Code of the closing frame."""
        if self.reason in ("closed", "shutting_down"):
            return DONE if self.reason == "closed" else GOING_AWAY
        return _CODES.get(self.reason, REFUSED)


def _disconnected(code: int | None) -> Exception:
    if code == TOO_LARGE:
        return StreamError("message_too_large", "a message has at most 1 MiB")
    if code == TOO_MANY:
        return StreamError("too_fast", "too many messages at once; put more audio into each")
    return ClientGone()
