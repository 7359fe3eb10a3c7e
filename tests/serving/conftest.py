"""The routes without a server: a real model and batcher behind an ASGI transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

import emotions
from emotions.predictor import Predictor
from emotions.runtime.batch_shape import Run
from serving.http.api_keys import read_auth
from serving.http.cors import BrowserAccess
from serving.http.middleware import RequestMiddleware
from serving.http.route_table import application
from serving.settings import Settings
from serving.telemetry.metrics import Metrics
from serving.worker.engine import Engine
from serving.worker.state import Drain, WorkerState
from tests.conftest import Tone


class Service:
    """The routes of one worker, called in process."""

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        metrics.describe_bundle(predictor)
        self.worker = WorkerState(metrics, Drain(settings.drain_sec, settings.drain_delay_sec))
        self.worker.engine = self.engine = Engine(predictor, settings, metrics)
        routes = application(self.worker)
        self.app: ASGIApp = RequestMiddleware(routes, self.worker, read_auth(settings), routes)
        if settings.cors_origins:
            self.app = BrowserAccess(self.app, settings.cors_origins)

    def metric(self, name: str, **labels: str) -> float:
        """A sample's value, as ``/metrics`` gives it; 0 for one that is not there."""
        self.engine.metrics.write()
        return self.registry.get_sample_value(name, labels) or 0.0

    def client(self) -> httpx.AsyncClient:
        """A client; use it in an event loop."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://service")

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request, in an event loop of its own."""

        async def send() -> httpx.Response:
            async with self.client() as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def post(self, content: Any, path: str = "/v1/predict", **options: Any) -> httpx.Response:
        """Post a raw body."""
        return self.request("POST", path, content=content, **options)


StartService = Callable[..., Service]


@pytest.fixture(scope="session")
def predictor(tiny_bundle: Path) -> Predictor:
    return emotions.load(tiny_bundle, device="cpu", threads=1)


@pytest.fixture
def start(predictor: Predictor) -> Iterator[StartService]:
    """``start(run=None, **settings)``: a service, closed after the test; ``run`` takes the model's place."""
    started: list[Service] = []

    def make(run: Run | None = None, **settings: Any) -> Service:
        session = replace(predictor.session, run=run or predictor.session.run)
        started.append(Service(Predictor(predictor.bundle, session), Settings(**{"threads": 1, **settings})))
        return started[-1]

    yield make
    for service in started:
        service.engine.close()


@pytest.fixture
def service(start: StartService) -> Service:
    return start()


@pytest.fixture(scope="session")
def clip(tone: Tone, wav_bytes: Callable[..., bytes]) -> bytes:
    """A WAV file of 1.2 s: three windows."""
    return wav_bytes(tone(1.2))


def error_of(response: httpx.Response) -> tuple[int, str]:
    """Status and code of an error response, whose form is checked."""
    body = response.json()
    assert set(body) == {"error", "request_id"}
    assert set(body["error"]) == {"code", "message"}
    assert body["request_id"] == response.headers["x-request-id"]
    return response.status_code, body["error"]["code"]
