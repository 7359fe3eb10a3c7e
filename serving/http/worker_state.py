"""What the routes of one worker process share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serving.http.errors import of_status
from serving.telemetry.metrics import Metrics
from serving.telemetry.request_context import RequestContext
from serving.worker.engine import Engine
from serving.worker.shutdown import Drain


@dataclass(eq=False)
class WorkerState:
    """The metrics of a worker, time limits of its requests, and its engine; routes that need it answer 503 until then.

    Attributes:
        bentoml_openapi: gives the OpenAPI document of BentoML's own routes.
    """

    metrics: Metrics
    drain: Drain
    bentoml_openapi: Callable[[], dict[str, Any]] = dict
    engine: Engine | None = None

    @property
    def ready(self) -> bool:
        """Whether the model is loaded and the worker is not shutting down."""
        return self.engine is not None and not self.drain.draining

    def loaded_engine(self) -> Engine:
        """The engine; 503 where the model is not loaded."""
        if self.engine is None:
            raise of_status(503)
        return self.engine

    def admit(self, context: RequestContext) -> Engine | None:
        """Count a request as in flight if it runs the model. Raises as ``Engine.admit``.

        The engine that it returns is to be released once.
        """
        if self.engine is None or not context.route.classifies or context.method != context.route.method:
            return None
        self.engine.admit()
        return self.engine
