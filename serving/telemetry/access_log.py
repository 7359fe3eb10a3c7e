"""The log: one line a request, as text or as JSON, with the request's id and figures. No path, no file name."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from serving.settings import LogFormat
from serving.telemetry.request_record import RequestContext

_LOGGERS = ("", "bentoml", "uvicorn.error", "circus")
_QUIET = frozenset({"/livez", "/readyz", "/healthz", "/metrics", "/v2/health/live", "/v2/health/ready"})
_FIELDS = "emotions"
logger = logging.getLogger("bentoml.emotions")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, logger, and a message or the figures of a request."""

    def format(self, record: logging.LogRecord) -> str:
        """One record to one line; a traceback is a string in it."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **(getattr(record, _FIELDS, None) or {"message": record.getMessage()}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def install(chosen: LogFormat) -> None:
    """Write the log of this process in a format; ``text`` is BentoML's own."""
    if chosen == "text":
        return
    for name in _LOGGERS:
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(JsonFormatter())


def answered(asked: RequestContext) -> None:
    """Write the line of a request that was answered. Probes and scrapes that went well have none."""
    if asked.route in _QUIET and asked.status < 400:
        return
    fields = {
        "event": "request",
        "request_id": asked.id,
        "method": asked.method,
        "route": asked.route,
        "status": asked.status,
        "ms": round(1000 * asked.seconds, 2),
        **({"error": asked.code} if asked.code else {}),
        **({"key": asked.key} if asked.key else {}),
        **asked.facts,
    }
    message = " ".join(f"{name}={value}" for name, value in fields.items() if name != "event")
    logger.info("request %s", message, extra={_FIELDS: fields})
