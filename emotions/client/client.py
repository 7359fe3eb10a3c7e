"""The HTTP client of the service: ``emotions.Client("http://127.0.0.1:3000").predict("clip.wav")``.

What the service sheds (429, 503) and what the network drops is sent again, after a growing, random pause.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from emotions.client.messages import Answer, Json, Results, answer, content, read_body, results
from emotions.errors import ServiceError
from emotions.runtime.prediction import Clip

_FIRST_PAUSE_SEC, _LONGEST_PAUSE_SEC = 0.25, 8.0
_LONGEST_RETRY_AFTER_SEC = 60.0
_SHED = frozenset({429, 503})

Exchange = Generator["httpx.Request | float", "httpx.Response | httpx.TransportError | None", Json]
"""A call: yields a request and is sent its outcome, yields a pause in seconds and is sent None, returns the answer."""


class _Calls:
    """What both clients do, but for sending and waiting.

    Args:
        url: the service's address, such as ``http://127.0.0.1:3000``.
        api_key: a key that the service knows, where it wants one.
        timeout: seconds for one attempt.
        retries: how many times a request is sent again that was shed or lost on the way.
        batch: most recordings in one request of ``predict_batch``.
    """

    def __init__(
        self, url: str, api_key: str | None = None, *, timeout: float = 60.0, retries: int = 5, batch: int = 16
    ) -> None:
        if retries < 0 or batch < 1:
            raise ValueError(f"retries must be at least 0 and batch at least 1, got {retries} and {batch}")
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = timeout
        self._retries = retries
        self._batch = batch

    def _predict(self, clip: Clip, *, windows: bool) -> Exchange:
        recording = content(clip)
        headers = {"content-type": "application/octet-stream"}
        return (yield from self._call("POST", "/v1/predict", windows, content=recording, headers=headers))

    def _predict_batch(self, clips: Sequence[Clip], *, windows: bool) -> Exchange:
        files = [("file", (str(index), content(clip))) for index, clip in enumerate(clips)]
        return (yield from self._call("POST", "/v1/predict/batch", windows, files=files))

    def _model(self) -> Exchange:
        return (yield from self._call("GET", "/v1/model", False))

    def _call(self, method: str, path: str, windows: bool, **options: Any) -> Exchange:
        headers = {**self._headers, **options.pop("headers", {})}
        query = {"windows": "1"} if windows else None
        attempt = 0
        while True:
            timeout = httpx.Timeout(self._timeout).as_dict()
            request = httpx.Request(
                method, self._url + path, params=query, headers=headers, extensions={"timeout": timeout}, **options
            )
            outcome = yield request
            last = attempt == self._retries
            if isinstance(outcome, httpx.Response) and (last or outcome.status_code not in _SHED):
                return read_body(outcome)
            if isinstance(outcome, httpx.TransportError) and last:
                lost = f"{self._url}: no answer ({str(outcome) or type(outcome).__name__})"
                raise ServiceError(lost, status=0, code="unreachable") from outcome
            yield _pause(attempt, outcome)
            attempt += 1

    def _chunks(self, clips: Sequence[Clip]) -> Iterator[Sequence[Clip]]:
        return (clips[at : at + self._batch] for at in range(0, len(clips), self._batch))


class Client(_Calls):
    """A client of the service; safe to use from several threads. Close it, or use it in a ``with`` block.

    Args:
        url: the service's address, such as ``http://127.0.0.1:3000``.
        api_key: a key that the service knows, where it wants one.
        timeout: seconds for one attempt.
        retries: how many times a request is sent again that was shed or lost on the way.
        batch: most recordings in one request of ``predict_batch``.
        transport: httpx's own, for proxies and tests.

    Example:
        >>> import emotions
        >>> with emotions.Client("http://127.0.0.1:3000") as client:  # doctest: +SKIP
        ...     client.predict("clip.wav").label
        'joy'
    """

    def __init__(
        self, url: str, api_key: str | None = None, *, transport: httpx.BaseTransport | None = None, **options: Any
    ) -> None:
        super().__init__(url, api_key, **options)
        self._http = httpx.Client(transport=transport)

    def predict(self, clip: Clip, *, windows: bool = False) -> Answer:
        """Classify a recording: a path, a file's bytes, samples (samples,) at 16 kHz, or (samples, rate).

        Raises:
            ServiceError: the service refused it, or does not answer.
            AudioError: an array that is no waveform.
            OSError: the file cannot be read.
        """
        return answer(self._run(self._predict(clip, windows=windows)))

    def predict_batch(self, clips: Sequence[Clip], *, windows: bool = False) -> Results:
        """Classify several recordings: for each, in order, its answer or the error that it alone got.

        Raises:
            As ``predict``, but for what one recording gets.
        """
        return [
            result
            for part in self._chunks(clips)
            for result in results(self._run(self._predict_batch(part, windows=windows)))
        ]

    def model(self) -> Json:
        """What is served: targets and labels, window, bundle, limits. Raises as ``predict``."""
        return self._run(self._model())

    def _run(self, call: Exchange) -> Json:
        outcome: httpx.Response | httpx.TransportError | None = None
        while True:
            try:
                step = call.send(outcome)
            except StopIteration as done:
                body: Json = done.value
                return body
            outcome = self._step(step)

    def _step(self, step: httpx.Request | float) -> httpx.Response | httpx.TransportError | None:
        if isinstance(step, float):
            time.sleep(step)
            return None
        try:
            return self._http.send(step)
        except httpx.TransportError as error:
            return error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class AsyncClient(_Calls):
    """``Client`` for asyncio: the same methods, to be awaited; ``async with``, ``await client.aclose()``."""

    def __init__(
        self, url: str, api_key: str | None = None, *, transport: httpx.AsyncBaseTransport | None = None, **options: Any
    ) -> None:
        super().__init__(url, api_key, **options)
        self._http = httpx.AsyncClient(transport=transport)

    async def predict(self, clip: Clip, *, windows: bool = False) -> Answer:
        """Classify a recording; as ``Client.predict``."""
        return answer(await self._run(self._predict(clip, windows=windows)))

    async def predict_batch(self, clips: Sequence[Clip], *, windows: bool = False) -> Results:
        """Classify several recordings; as ``Client.predict_batch``."""
        answers: Results = []
        for part in self._chunks(clips):
            answers += results(await self._run(self._predict_batch(part, windows=windows)))
        return answers

    async def model(self) -> Json:
        """What is served; as ``Client.model``."""
        return await self._run(self._model())

    async def _run(self, call: Exchange) -> Json:
        outcome: httpx.Response | httpx.TransportError | None = None
        while True:
            try:
                step = call.send(outcome)
            except StopIteration as done:
                body: Json = done.value
                return body
            outcome = await self._step(step)

    async def _step(self, step: httpx.Request | float) -> httpx.Response | httpx.TransportError | None:
        if isinstance(step, float):
            await asyncio.sleep(step)
            return None
        try:
            return await self._http.send(step)
        except httpx.TransportError as error:
            return error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.aclose()


def _pause(attempt: int, outcome: httpx.Response | httpx.TransportError | None) -> float:
    """Seconds until the next attempt: twice as long each time, give or take a half, and what the service asks for."""
    pause: float = min(_LONGEST_PAUSE_SEC, _FIRST_PAUSE_SEC * 2**attempt) * random.uniform(0.5, 1.5)  # noqa: S311
    asked = outcome.headers.get("retry-after", "") if isinstance(outcome, httpx.Response) else ""
    return pause + min(_LONGEST_RETRY_AFTER_SEC, float(asked)) if asked.isdecimal() else pause
