"""The HTTP client of the service: ``emotions.Client("http://127.0.0.1:3000").predict("clip.wav")``.

A request that the service sheds (429, 503) or the network drops is repeated after a growing, random pause.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from emotions.client.live import StreamRequest, stream, stream_async
from emotions.client.messages import Answer, Json, Results, answer, content, read_body, results
from emotions.client.stream_options import Block, StreamOptions
from emotions.errors import ServiceError
from emotions.runtime.prediction import ClipInput

_FIRST_PAUSE_SEC, _LONGEST_PAUSE_SEC = 0.25, 8.0
_LONGEST_RETRY_AFTER_SEC = 60.0
_SHED = frozenset({429, 503})

_Outcome = httpx.Response | httpx.TransportError


class _Requests:
    """What both clients share: how a request is made, and what follows from its outcome. Arguments as ``Client``."""

    def __init__(
        self, url: str, api_key: str | None = None, *, timeout: float = 60.0, retries: int = 5, batch: int = 16
    ) -> None:
        if retries < 0 or batch < 1:
            raise ValueError(f"retries must be at least 0 and batch at least 1, got {retries} and {batch}")
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = httpx.Timeout(timeout).as_dict()
        self._retries = retries
        self._batch = batch

    def _predict_request(self, clip: ClipInput, windows: bool) -> httpx.Request:
        headers = {"content-type": "application/octet-stream"}
        return self._request("POST", "/v1/predict", windows, content=content(clip), headers=headers)

    def _batch_requests(self, clips: Sequence[ClipInput], windows: bool) -> Iterator[httpx.Request]:
        for start in range(0, len(clips), self._batch):
            part = clips[start : start + self._batch]
            files = [("file", (str(index), content(clip))) for index, clip in enumerate(part)]
            yield self._request("POST", "/v1/predict/batch", windows, files=files)

    def _request(self, method: str, path: str, windows: bool = False, **options: Any) -> httpx.Request:
        headers = {**self._headers, **options.pop("headers", {})}
        query = {"windows": "1"} if windows else None
        extensions = {"timeout": self._timeout}
        return httpx.Request(method, self._url + path, params=query, headers=headers, extensions=extensions, **options)

    def _stream_request(self) -> StreamRequest:
        return StreamRequest(self._url, self._headers, float(self._timeout["connect"] or _FIRST_PAUSE_SEC))

    def _pause(self, attempt: int, outcome: _Outcome) -> float | None:
        """Seconds until a request is repeated; None where its outcome is final.

        Twice as long each time, give or take a half, and in addition what the service asks for.
        """
        if attempt == self._retries or (isinstance(outcome, httpx.Response) and outcome.status_code not in _SHED):
            return None
        pause: float = min(_LONGEST_PAUSE_SEC, _FIRST_PAUSE_SEC * 2**attempt) * random.uniform(0.5, 1.5)  # noqa: S311
        asked = outcome.headers.get("retry-after", "") if isinstance(outcome, httpx.Response) else ""
        return pause + min(_LONGEST_RETRY_AFTER_SEC, float(asked)) if asked.isdecimal() else pause

    def _body(self, outcome: _Outcome) -> Json:
        if isinstance(outcome, httpx.Response):
            return read_body(outcome)
        lost = f"{self._url}: no answer ({str(outcome) or type(outcome).__name__})"
        raise ServiceError(lost, status=0, code="unreachable") from outcome


class Client(_Requests):
    """A client of the service; safe to use from several threads. Close it, or use it in a ``with`` block.

    Args:
        url: the service's address, such as ``http://127.0.0.1:3000``.
        api_key: API key, where the service requires one.
        timeout: seconds for one attempt.
        retries: how many times a request is repeated that was shed or lost on the way.
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

    def predict(self, clip: ClipInput, *, windows: bool = False) -> Answer:
        """Classify a recording.

        Args:
            clip: a path, a file's bytes, samples (samples,) at 16 kHz, or (samples, rate in Hz).
            windows: return the probabilities of each window, too.

        Raises:
            ServiceError: the service refused it, or does not answer.
            AudioError: an array that is no waveform.
            OSError: the file cannot be read.

        Example:
            >>> client = emotions.Client("http://127.0.0.1:3000")  # doctest: +SKIP
            >>> client.predict("clip.wav", windows=True).windows[0].probabilities["emotion"]  # doctest: +SKIP
            {'joy': 0.83, 'anger': 0.17}
        """
        return answer(self._send(self._predict_request(clip, windows)))

    def predict_batch(self, clips: Sequence[ClipInput], *, windows: bool = False) -> Results:
        """Classify several recordings: for each, in order, its answer or the error of that recording.

        Args:
            clips: as ``predict`` takes them.
            windows: return the probabilities of each window, too.

        Raises:
            As ``predict``, but for the errors of single recordings.

        Example:
            >>> [result.label for result in client.predict_batch(["a.wav", "b.wav"])]  # doctest: +SKIP
            ['joy', 'anger']
        """
        return [result for request in self._batch_requests(clips, windows) for result in results(self._send(request))]

    def model(self) -> Json:
        """What is served: targets and labels, window, bundle, limits. Raises as ``predict``."""
        return self._send(self._request("GET", "/v1/model"))

    def stream(self, audio: Iterable[Block], **options: Any) -> Iterator[Json]:
        """Classify live audio: the messages of the service as they come; the last has all segments.

        Args:
            audio: blocks as they are recorded: arrays of float or int16, (samples,) or (samples, channels), or bytes.
            options: as ``emotions.client.stream_options.StreamOptions`` has them, such as ``rate`` and ``vad``.

        Raises:
            ServiceError: the service refuses the stream, ends it for an error, or is gone.

        Example:
            >>> blocks = np.array_split(samples, 20)  # doctest: +SKIP
            >>> for message in client.stream(blocks, rate=16_000):  # doctest: +SKIP
            ...     print(message["type"], message.get("label"))
        """
        return stream(self._stream_request(), StreamOptions(**options), audio)

    def _send(self, request: httpx.Request) -> Json:
        for attempt in itertools.count():
            outcome: _Outcome
            try:
                outcome = self._http.send(request)
            except httpx.TransportError as error:
                outcome = error
            pause = self._pause(attempt, outcome)
            if pause is None:
                break
            time.sleep(pause)
        return self._body(outcome)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class AsyncClient(_Requests):
    """``Client`` for asyncio: the same arguments and methods, to be awaited; ``async with``, ``await client.aclose()``.

    Example:
        >>> async with emotions.AsyncClient("http://127.0.0.1:3000") as client:  # doctest: +SKIP
        ...     (await client.predict("clip.wav")).label
        'joy'
    """

    def __init__(
        self, url: str, api_key: str | None = None, *, transport: httpx.AsyncBaseTransport | None = None, **options: Any
    ) -> None:
        super().__init__(url, api_key, **options)
        self._http = httpx.AsyncClient(transport=transport)

    async def predict(self, clip: ClipInput, *, windows: bool = False) -> Answer:
        """Classify a recording; Args and Raises as ``Client.predict``."""
        return answer(await self._send(self._predict_request(clip, windows)))

    async def predict_batch(self, clips: Sequence[ClipInput], *, windows: bool = False) -> Results:
        """Classify several recordings; Args and Raises as ``Client.predict_batch``."""
        sent = self._batch_requests(clips, windows)
        return [result for request in sent for result in results(await self._send(request))]

    async def model(self) -> Json:
        """What is served; as ``Client.model``."""
        return await self._send(self._request("GET", "/v1/model"))

    def stream(self, audio: AsyncIterable[Block] | Iterable[Block], **options: Any) -> AsyncIterator[Json]:
        """Classify live audio, to be read by ``async for``; Args and Raises as ``Client.stream``."""
        return stream_async(self._stream_request(), StreamOptions(**options), audio)

    async def _send(self, request: httpx.Request) -> Json:
        for attempt in itertools.count():
            outcome: _Outcome
            try:
                outcome = await self._http.send(request)
            except httpx.TransportError as error:
                outcome = error
            pause = self._pause(attempt, outcome)
            if pause is None:
                break
            await asyncio.sleep(pause)
        return self._body(outcome)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.aclose()
