"""Live streams from a process of its own: blocks of audio when they would have been recorded, and when answers came.

This module imports neither numpy nor the toolkit, as ``load_generator``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from serving.benchmark.driver.load_generator import ClientProcess, serve_jobs

_PATIENCE_SEC = 60.0
BLOCK_SEC = 0.1
_BYTES_A_SECOND = 32_000
_BLOCK_BYTES = int(BLOCK_SEC * _BYTES_A_SECOND)
_FAST_BLOCK_BYTES = 32_000


@dataclass(frozen=True)
class StreamJob:
    """What to stream.

    Attributes:
        streams: how many, each with an audio of its own while there are enough.
        paced: send each block when it would have been recorded; else as fast as the service reads.
        vad: whether speech is looked for.
        interval_ms: milliseconds of audio between two measurements.
    """

    streams: int
    paced: bool
    vad: bool
    interval_ms: int = 1000


@dataclass(frozen=True)
class Received:
    """A message of the service: ``at`` in seconds since the stream's first sample was recorded, or began to be sent."""

    kind: str
    trigger: str
    start_sec: float
    end_sec: float
    at: float


@dataclass
class StreamRecord:
    """What one stream gave.

    Attributes:
        received: messages but for the first and the last.
        audio_sec: seconds that the service counted; 0 where it did not answer to the end.
        segments: of its last message.
        late_sec: how late each block was sent.
        seconds: from the first block to the last message.
        error: what went wrong, empty where nothing did.
    """

    received: list[Received] = field(default_factory=list)
    audio_sec: float = 0.0
    segments: int = 0
    late_sec: list[float] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""


class StreamClients(ClientProcess):
    """The process of the streams.

    Args:
        port: of the service on the loopback interface.
        audio: of the streams, as 16-bit PCM at 16 kHz.
    """

    def __init__(self, port: int, audio: Sequence[bytes]) -> None:
        super().__init__(partial(serve_jobs, _drive), port, audio)

    def run(self, job: StreamJob) -> list[StreamRecord]:
        """Do a job and wait for it."""
        records: list[StreamRecord] = self._ask(job)
        return records


async def _drive(job: StreamJob, port: int, audio: Sequence[bytes]) -> list[StreamRecord]:
    records = [StreamRecord() for _ in range(job.streams)]
    await asyncio.gather(*(_stream(job, port, audio[at % len(audio)], at, record) for at, record in enumerate(records)))
    return records


async def _stream(job: StreamJob, port: int, audio: bytes, number: int, record: StreamRecord) -> None:
    """One stream; those of a job begin a little after each other, as people do."""
    try:
        async with (
            asyncio.timeout(len(audio) / _BYTES_A_SECOND + _PATIENCE_SEC),
            connect(f"ws://127.0.0.1:{port}/v1/stream", max_size=None, ping_interval=None, proxy=None) as socket,
        ):
            session = {"vad": job.vad, "interval_ms": job.interval_ms}
            await socket.send(json.dumps({"type": "session.update", "session": session}))
            while json.loads(await socket.recv())["type"] != "session.updated":
                pass
            await asyncio.sleep(number * BLOCK_SEC / job.streams)
            began = time.perf_counter()
            sending = asyncio.create_task(_send(socket, audio, began, record, paced=job.paced))
            await _listen(socket, began, record)
            await sending
            record.seconds = time.perf_counter() - began
    except Exception as error:  # noqa: BLE001 - the others go on, and this one is counted
        record.error = f"{type(error).__name__}: {error}"


async def _send(socket: ClientConnection, audio: bytes, began: float, record: StreamRecord, *, paced: bool) -> None:
    size = _BLOCK_BYTES if paced else _FAST_BLOCK_BYTES
    for at in range(0, len(audio), size):
        block = audio[at : at + size]
        if paced:
            due = began + (at + len(block)) / _BYTES_A_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            record.late_sec.append(time.perf_counter() - due)
        await socket.send(block)
    await socket.send('{"type": "session.close"}')


async def _listen(socket: ClientConnection, began: float, record: StreamRecord) -> None:
    async for text in socket:
        at, message = time.perf_counter() - began, json.loads(text)
        if message["type"] == "session.closed":
            record.audio_sec, record.segments = message["audio_ms"] / 1000, len(message["segments"])
            return
        if message["type"] == "error":
            record.error = str(message["code"])
        record.received.append(_received(message, at))


def _received(message: dict[str, Any], at: float) -> Received:
    start, end = message.get("audio_start_ms", 0.0), message.get("audio_end_ms", 0.0)
    return Received(message["type"], message.get("trigger", ""), start / 1000, end / 1000, at)
