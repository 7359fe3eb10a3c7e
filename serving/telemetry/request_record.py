"""What is known of one request while it is answered: its id, its route, what became of it."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import Scope

HEADER = "x-request-id"
OTHER = "other"
"""Route of a path that nothing answers: paths are the client's to choose, and never become a label or a log line."""

CLASSIFYING = frozenset(
    [
        *("/v1/predict", "/v1/predict/batch", "/predict"),
        *("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"),
    ]
)
"""Routes that ask the model."""

_KEY = "emotions.exchange"
_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PATHS = frozenset(
    [
        *("/v1/predict", "/v1/predict/batch", "/v1/model", "/v1/openapi.json"),
        *("/v2", "/v2/health/live", "/v2/health/ready"),
        *("/predict", "/docs.json", "/schema.json", "/", "/metrics", "/livez", "/healthz", "/readyz"),
    ]
)
_MODEL = re.compile(r"/v2/models/[^/]+(/versions/[^/]+)?(/ready|/infer)?")


@dataclass
class RequestContext:
    """One request and what became of it.

    Attributes:
        id: the client's own where it is sane, else a new one.
        method: HTTP method.
        route: template of the path, or ``OTHER``.
        started: ``time.perf_counter()`` at its arrival.
        status: HTTP status of the answer; 0 until there is one.
        code: name of the error, empty where there is none.
        key: name of the API key that it came with, empty where it needs none.
        facts: figures for its log line.
    """

    id: str
    method: str
    route: str
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    code: str = ""
    key: str = ""
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def is_v2(self) -> bool:
        """Whether it speaks the Open Inference Protocol, whose errors have a form of their own."""
        return self.route.startswith("/v2")

    @property
    def seconds(self) -> float:
        """Seconds since it arrived."""
        return time.perf_counter() - self.started


def exchange(scope: Scope) -> RequestContext:
    """The exchange of a request, the same one for all who ask."""
    if _KEY not in scope:
        given = Headers(scope=scope).get(HEADER, "")
        name = given if _SANE.fullmatch(given) else uuid.uuid4().hex
        method = str(scope["method"])
        scope[_KEY] = RequestContext(name, method, route(str(scope["path"])))
    found: RequestContext = scope[_KEY]
    return found


def route(path: str) -> str:
    """Template of a path: ``/v2/models/mine/infer`` to ``/v2/models/{name}/infer``, an unknown path to ``OTHER``."""
    if path in _PATHS:
        return path
    if found := _MODEL.fullmatch(path):
        version, action = found.groups()
        return f"/v2/models/{{name}}{'/versions/{version}' if version else ''}{action or ''}"
    return "/v2/other" if path.startswith("/v2/") else OTHER
