"""What is observed of one request: its context, its line in the access log, and its spans.

The line has its id and figures, no path and no file name, as text or JSON. The OpenTelemetry spans ``decode -> queue ->
infer`` lie below the request's own, which BentoML makes. They are recorded afterwards, and only for sampled requests
(``EMOTIONS_TRACE_RATE``), so that the others cost nothing; BentoML's ``tracing`` configuration (``BENTOML_CONFIG``)
says where they are exported.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace
from starlette.datastructures import Headers
from starlette.types import Scope

from emotions.errors import plain
from serving.settings import LogFormat

HEADER = "x-request-id"
_KEY = "emotions.request_context"
_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_LOGGERS = ("", "bentoml", "uvicorn.error", "circus")
_FIELDS = "emotions"
logger = logging.getLogger("bentoml.emotions")
_RANDOM = random.Random()  # noqa: S311 - see new_id
os.register_at_fork(after_in_child=_RANDOM.seed)  # workers are forked: their ids must differ
_TRACER = trace.get_tracer("emotions.serving")


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
        model: name of the model in its path, empty without one.
        log_fields: figures for its log line.
    """

    request_id: str
    method: str
    route: RouteInfo
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    code: str = ""
    key: str = ""
    model: str = ""
    log_fields: dict[str, float] = field(default_factory=dict)

    @property
    def is_v2(self) -> bool:
        """Whether it uses the Open Inference Protocol, which has its own form of errors."""
        return self.route.path.startswith("/v2")

    @property
    def seconds(self) -> float:
        """Seconds since it arrived."""
        return time.perf_counter() - self.started


def new_id() -> str:
    """A random id of 128 bits, which need not be hard to guess.

    From the operating system it would cost more: Python lets go of the interpreter's lock for that, and has to wait to
    get it back.
    """
    return f"{_RANDOM.getrandbits(128):032x}"


def new_context(scope: Scope, route: RouteInfo) -> RequestContext:
    """Create the context of a request and store it in ``scope``, where ``request_context`` finds it.

    Args:
        scope: ASGI scope of the request, with the parameters of its path.
        route: the route that answers it.
    """
    given = Headers(scope=scope).get(HEADER, "")
    request_id = given if _SAFE_ID.fullmatch(given) else new_id()
    context = RequestContext(request_id, str(scope["method"]), route, model=scope["path_params"].get("name", ""))
    scope[_KEY] = context
    return context


def request_context(scope: Scope) -> RequestContext:
    """The context of a request that came through ``RequestMiddleware``."""
    context: RequestContext = scope[_KEY]
    return context


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON: time, level, logger, and a message or the figures of a request."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; a traceback is a string."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **(getattr(record, _FIELDS, None) or {"message": record.getMessage()}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class PlainMessages(logging.Filter):
    """Escapes control characters: a name or a label from a bundle must not begin a line of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        record.msg, record.args = plain(record.getMessage()), ()
        return True


def set_log_format(chosen: LogFormat) -> None:
    """Set the format of this process's log; ``text`` is BentoML's own."""
    if not any(isinstance(each, PlainMessages) for each in logger.filters):
        logger.addFilter(PlainMessages())
    if chosen == "text":
        return
    for name in _LOGGERS:
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(JsonFormatter())


def log_request(context: RequestContext) -> None:
    """Log a request that was answered. Successful probes and scrapes are left out."""
    if context.route.log_quietly and context.status < 400:
        return
    fields = {
        "event": "request",
        "request_id": context.request_id,
        "method": context.method,
        "route": context.route.path,
        "status": context.status,
        "ms": round(1000 * context.seconds, 2),
        **({"error": context.code} if context.code else {}),
        **({"key": context.key} if context.key else {}),
        **context.log_fields,
    }
    message = " ".join(f"{name}={value}" for name, value in fields.items() if name != "event")
    if logger.isEnabledFor(logging.INFO):  # without a search for who called, as ``logger.info`` makes one
        logger.handle(
            logger.makeRecord(logger.name, logging.INFO, "", 0, "request %s", (message,), None, "", {_FIELDS: fields})
        )


def use_tracer_provider(provider: trace.TracerProvider) -> None:
    """Set the tracer provider, unless the process has one already."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)


def record_spans(stages: Mapping[str, float], audio_sec: float) -> None:
    """Record the spans of a recording that was classified just now.

    Args:
        stages: seconds of each stage, in order; the last has just ended.
        audio_sec: seconds of audio.
    """
    if not trace.get_current_span().get_span_context().trace_flags.sampled:
        return
    ends = time.time_ns()
    for name, seconds in reversed([*stages.items()]):
        starts = ends - int(seconds * 1e9)
        span = _TRACER.start_span(name, start_time=starts, attributes={"emotions.audio_sec": audio_sec})
        span.end(ends)
        ends = starts
