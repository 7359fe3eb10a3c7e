"""A service under load: how a recording is sent to it, the process that sends, and what one run of it gave."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from emotions.errors import EmotionsError
from emotions.runtime.prediction import Prediction
from serving.benchmark.driver.clips import Clip
from serving.benchmark.driver.load_generator import Client, Job
from serving.benchmark.driver.passes import Layer, Pass, layer_name
from serving.benchmark.driver.server_process import Server
from serving.benchmark.driver.trace import OK, Trace, to_trace


@dataclass(frozen=True)
class Target:
    """A running service and the process that sends recordings to it.

    Attributes:
        expected: the prediction for each request's clip alone; none to leave answers unread.
    """

    server: Server
    client: Client
    api: Api
    expected: Sequence[Prediction]

    def run(self, job: Job) -> tuple[Trace, float]:
        """Do a job: what it gave, and the CPU seconds that the service took."""
        before = self.server.cpu_sec()
        record = self.client.run(job)
        used = self.server.cpu_sec() - before
        return to_trace(record, self.expected, self.api.probabilities), used


@contextlib.contextmanager
def driven(server: Server, api: Api, clips: Sequence[Clip], *, read: bool = True) -> Iterator[Target]:
    """A target until the block ends.

    Args:
        server: the service.
        api: how it takes recordings.
        clips: what to send.
        read: compare its answers with the expected ones.
    """
    with Client(server.port, [api.request(clip.content) for clip in clips]) as client:
        yield Target(server, client, api, [clip.expected for clip in clips] if read else ())


def layer(target: Target, name: str, connections: int, clips: int) -> Layer:
    """A service over loopback HTTP, every clip uploaded once a pass: a closed loop of ``connections``.

    Args:
        target: the service.
        name: of the layer.
        connections: of the closed loop.
        clips: how many recordings the target sends.
    """

    def run() -> Pass:
        trace, server_cpu = target.run(Job(streams=connections, count=clips))
        if trace.statuses[OK] < clips:
            refused = {status: count for status, count in trace.statuses.items() if status != OK}
            raise EmotionsError(f"the service did not answer every clip (status: requests, 0 for no answer): {refused}")
        return Pass(trace.seconds, trace.client_cpu_sec, server_cpu, tuple(trace.latency.tolist()), trace.max_abs_diff)

    return Layer(layer_name(name, connections), run)


@dataclass(frozen=True)
class Api:
    """How a server takes a recording: the body of its bytes, and the probabilities in the answer's JSON."""

    path: str
    content_type: str
    body: Callable[[bytes], bytes]
    probabilities: Callable[[Any], dict[str, dict[str, float]]]

    def request(self, content: bytes) -> bytes:
        """The whole HTTP request that uploads a recording's bytes."""
        body = self.body(content)
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {self.content_type}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _answers(answer: Any) -> dict[str, dict[str, float]]:
    return {**answer["probabilities"], **answer.get("values", {})}


OURS = Api("/v1/predict", "application/octet-stream", lambda content: content, _answers)
"""The service's."""
