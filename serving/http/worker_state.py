"""What the routes of one worker process share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from serving.http.errors import of_status
from serving.telemetry.metrics import Metrics
from serving.telemetry.request_context import RequestContext
from serving.worker.engine import Engine
from serving.worker.shutdown import Drain


class WorkerState:
    """The engine of a worker, its metrics and its shutdown. Until ``engine`` is set, routes that need it answer 503.

    Args:
        metrics: metrics of this process.
        drain: time limits of the requests in flight.
        bentoml_openapi: gives the OpenAPI document of BentoML's own routes.
    """

    def __init__(self, metrics: Metrics, drain: Drain, bentoml_openapi: Callable[[], dict[str, Any]] = dict) -> None:
        self.engine: Engine | None = None
        self.metrics = metrics
        self.drain = drain
        self.bentoml_openapi = bentoml_openapi

    @property
    def ready(self) -> bool:
        """Whether the model is loaded and the worker is not shutting down."""
        return self.engine is not None and not self.drain.draining

    def loaded_engine(self) -> Engine:
        """The engine.

        Raises:
            RequestError: 503, the model is not loaded.
        """
        if self.engine is None:
            raise of_status(503)
        return self.engine

    def admitted(self, context: RequestContext) -> contextlib.AbstractContextManager[None]:
        """Count a request that runs the model as in flight. Raises as ``Engine.admitted``."""
        if self.engine is None or not context.route.classifies or context.method != context.route.method:
            return contextlib.nullcontext()
        return self.engine.admitted()
