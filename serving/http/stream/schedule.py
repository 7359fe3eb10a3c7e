"""The work of all streams of a worker before the model, in one thread: speech is looked for in all of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from emotions.audio.speech.detector import SpeechDetector
from emotions.audio.speech.network import speech_network
from emotions.audio.speech.segmenter import SpeechSpan
from emotions.audio.windows import FloatArray
from serving.http.stream.messages import StreamError
from serving.http.stream.session import Session
from serving.http.stream.track import Event

Outcome = list[Event] | StreamError


@dataclass(frozen=True)
class Part:
    """The next bytes of a session; None where it ends."""

    session: Session
    data: bytes | None


class Schedule:
    """Takes the parts of all sessions that wait, as one batch, whenever the batch before is done.

    Belongs to one event loop. No session may have two parts under way.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="streams")
        self._waiting: list[tuple[Part, asyncio.Future[Outcome]]] = []
        self._task: asyncio.Task[None] | None = None

    async def push(self, session: Session, data: bytes | None) -> list[Event]:
        """Give a session its next bytes, or its end.

        Args:
            session: the session.
            data: at most some seconds of audio, as others wait for it; None for the end.

        Raises:
            StreamError: as ``Session.read``.
        """
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((Part(session, data), done))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        outcome = await done
        if isinstance(outcome, StreamError):
            raise outcome
        return outcome

    @property
    def waiting(self) -> int:
        """Parts that wait."""
        return len(self._waiting)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while waiting := self._waiting:
                self._waiting = []
                parts = [part for part, done in waiting if not done.cancelled()]
                await self._run_batch(loop, parts, [done for _, done in waiting if not done.cancelled()])
        finally:
            self._task = None

    async def _run_batch(
        self, loop: asyncio.AbstractEventLoop, parts: list[Part], futures: list[asyncio.Future[Outcome]]
    ) -> None:
        try:
            outcomes: Sequence[Outcome | Exception] = await loop.run_in_executor(self._executor, advance, parts)
        except Exception as error:  # noqa: BLE001 - each session must learn of it, whatever it is
            outcomes = [error] * len(parts)
        for done, outcome in zip(futures, outcomes, strict=True):
            if done.cancelled():
                continue
            if isinstance(outcome, Exception) and not isinstance(outcome, StreamError):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)

    def close(self) -> None:
        """Stop the thread."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def advance(parts: Sequence[Part]) -> list[Outcome]:
    """Give sessions their next bytes.

    Args:
        parts: one of a session at most.

    Returns:
        What that brings about in each, or why its bytes are none.
    """
    samples = [_read(part) for part in parts]
    good = [(part, read) for part, read in zip(parts, samples, strict=True) if not isinstance(read, StreamError)]
    detectors = [detector for part, _ in good for detector in part.session.detectors]
    audio = [channel for part, read in good if part.session.detectors for channel in read]
    spans = iter(_find_speech(detectors, audio))
    outcomes: list[Outcome] = []
    for part, read in zip(parts, samples, strict=True):
        if isinstance(read, StreamError):
            outcomes.append(read)
            continue
        events = part.session.take(read, [next(spans) for _ in part.session.detectors])
        outcomes.append(events + (part.session.finish() if part.data is None else []))
    return outcomes


def _read(part: Part) -> list[FloatArray] | StreamError:
    try:
        return part.session.read(part.data)
    except StreamError as error:
        return error


def _find_speech(detectors: list[SpeechDetector], audio: list[FloatArray]) -> list[list[SpeechSpan]]:
    if len(detectors) == 1:  # many frames of one stream are faster than one frame at a time
        return [detectors[0].push(audio[0])]
    return SpeechDetector.push_all(speech_network(), detectors, audio) if detectors else []
