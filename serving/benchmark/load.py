"""A closed loop of requests: each connection sends its next clip when the last one was answered."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from emotions.errors import EmotionsError
from serving.benchmark.clips import Clip
from serving.benchmark.layers import PEER, Layer, Pass, largest_difference
from serving.benchmark.server import Server

CONNECTIONS = (1, 16)
"""Connections that the service is driven with: one for its latency, many for its throughput."""
_TIMEOUT_SEC = 60


PEER_TARGET = "serving.benchmark.peers.batchable:Batchable"

_BOUNDARY = "3f1c7c0e9a"


@dataclass(frozen=True)
class Api:
    """How a server takes a recording, and where its answer holds the probabilities.

    Attributes:
        path: of the request.
        content_type: of its body.
        body: the body of a recording's bytes.
        probabilities: of the answer's JSON.
    """

    path: str
    content_type: str
    body: Callable[[bytes], bytes]
    probabilities: Callable[[Any], dict[str, dict[str, float]]]


def _form(content: bytes) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    return head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()


OURS = Api("/v1/predict", "application/octet-stream", lambda content: content, lambda answer: answer["probabilities"])
THEIRS = Api("/predict", f"multipart/form-data; boundary={_BOUNDARY}", _form, lambda answer: answer[0]["probabilities"])


@dataclass(frozen=True)
class _Reply:
    index: int
    latency_sec: float
    body: bytes


def service_layers(server: Server, clips: Sequence[Clip]) -> list[Layer]:
    """The service over loopback HTTP, every clip uploaded once a pass."""

    def layer(connections: int) -> Layer:
        return Layer(service_name(connections), lambda: _pass(server, OURS, clips, connections))

    return [layer(connections) for connections in CONNECTIONS]


def peer_layer(server: Server, clips: Sequence[Clip]) -> Layer:
    """BentoML's plain batchable endpoint with the same model, at the most connections."""
    return Layer(peer_name(), lambda: _pass(server, THEIRS, clips, CONNECTIONS[-1]))


def peer_name() -> str:
    """Name of the peer's layer."""
    return f"{PEER} {CONNECTIONS[-1]} connections"


def service_name(connections: int) -> str:
    """Name of the service's layer at a number of connections."""
    return f"service {connections} connection{'s' if connections > 1 else ''}"


def _pass(server: Server, api: Api, clips: Sequence[Clip], connections: int) -> Pass:
    """Upload every clip once.

    Raises:
        EmotionsError: the service refused one, or is gone.
    """
    todo, lock = iter(enumerate(clips)), threading.Lock()

    def work() -> list[_Reply]:
        return [*_replies(server.port, api, _shared(todo, lock))]

    server_cpu = server.cpu_sec()
    started, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(connections, thread_name_prefix="client") as pool:
        workers = [pool.submit(work) for _ in range(connections)]
        replies = [reply for worker in workers for reply in worker.result()]
    wall_sec, cpu_sec = time.perf_counter() - started, time.process_time() - cpu
    replies.sort(key=lambda reply: reply.index)
    answers = [api.probabilities(json.loads(reply.body)) for reply in replies]
    return Pass(
        wall_sec,
        cpu_sec,
        server.cpu_sec() - server_cpu,
        tuple(reply.latency_sec for reply in replies),
        largest_difference(answers, [clip.expected for clip in clips]),
    )


def _shared(todo: Iterator[tuple[int, Clip]], lock: threading.Lock) -> Iterator[tuple[int, Clip]]:
    while True:
        with lock:
            item = next(todo, None)
        if item is None:
            return
        yield item


def _replies(port: int, api: Api, todo: Iterator[tuple[int, Clip]]) -> Iterator[_Reply]:
    """Send clips one after the other over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SEC)
    headers = {"Content-Type": api.content_type}
    try:
        for index, clip in todo:
            started = time.perf_counter()
            connection.request("POST", api.path, api.body(clip.content), headers)
            response = connection.getresponse()
            body = response.read()
            latency_sec = time.perf_counter() - started
            if response.status != http.HTTPStatus.OK:
                raise EmotionsError(f"the service answered a clip with {response.status}: {body[:300]!r}")
            yield _Reply(index, latency_sec, body)
    except (OSError, http.client.HTTPException) as error:
        raise EmotionsError(f"the service does not answer ({error or type(error).__name__})") from error
    finally:
        connection.close()
