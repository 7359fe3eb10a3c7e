"""What the routes of one worker process share."""

from __future__ import annotations

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

    def admit(self, context: RequestContext) -> Engine | None:
        """Count a request as in flight if it runs the model. Raises as ``Engine.admit``.

        Returns:
            The engine, whose ``release`` is to be called once; None where the request does not run the model.
        """
        if self.engine is None or not context.route.classifies or context.method != context.route.method:
            return None
        self.engine.admit()
        return self.engine
