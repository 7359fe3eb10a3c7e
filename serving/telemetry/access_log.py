"""The access log: one line for each request, as text or JSON, with its id and figures. No path, no file name."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from serving.settings import LogFormat
from serving.telemetry.request_context import RequestContext

_LOGGERS = ("", "bentoml", "uvicorn.error", "circus")
_FIELDS = "emotions"
logger = logging.getLogger("bentoml.emotions")


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


def install(chosen: LogFormat) -> None:
    """Set the format of this process's log; ``text`` is BentoML's own."""
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
    logger.info("request %s", message, extra={_FIELDS: fields})
