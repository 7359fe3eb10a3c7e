"""The context of one request, its id, route and outcome, and the description of a route."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

HEADER = "x-request-id"
_KEY = "emotions.request_context"
_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True)
class RouteInfo:
    """One route of the service and everything that depends on it.

    Attributes:
        path: template of the path. It is what logs and metrics name, since a client chooses the path itself.
        handler: called with the request and the worker's state, returns a JSON body or a response; None for BentoML's
            own routes and for unknown paths.
        public: whether it needs no API key.
        log_quietly: whether successful requests have no line in the access log.
        classifies: whether it runs the model, and so is refused under overload.
        openapi: name of its operation in ``openapi.yaml``; empty for a route that is not described.
    """

    path: str
    method: str = "GET"
    handler: Callable[..., Awaitable[Any]] | None = None
    public: bool = False
    log_quietly: bool = False
    classifies: bool = False
    openapi: str = ""


@dataclass
class RequestContext:
    """One request and its outcome.

    Attributes:
        request_id: the client's own where it is safe to log, else a new one.
        started: ``time.perf_counter()`` at its arrival.
        status: HTTP status of the response; 0 until there is one.
        code: error code, empty without an error.
        key: name of the API key that it came with, empty without one.
        log_fields: figures for its log line.
    """

    request_id: str
    method: str
    route: RouteInfo
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    code: str = ""
    key: str = ""
    log_fields: dict[str, float] = field(default_factory=dict)

    @property
    def is_v2(self) -> bool:
        """Whether it uses the Open Inference Protocol, which has its own form of errors."""
        return self.route.path.startswith("/v2")

    @property
    def seconds(self) -> float:
        """Seconds since it arrived."""
        return time.perf_counter() - self.started


def new_context(scope: Scope, route: RouteInfo) -> RequestContext:
    """Create the context of a request and store it in ``scope``, where ``request_context`` finds it.

    Args:
        scope: ASGI scope of the request.
        route: the route that answers it.
    """
    given = Headers(scope=scope).get(HEADER, "")
    request_id = given if _SAFE_ID.fullmatch(given) else uuid.uuid4().hex
    context = RequestContext(request_id, str(scope["method"]), route)
    scope[_KEY] = context
    return context


def request_context(scope: Scope) -> RequestContext:
    """The context of a request that came through ``RequestMiddleware``."""
    context: RequestContext = scope[_KEY]
    return context
