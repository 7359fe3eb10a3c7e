"""Errors over HTTP: ``{"error": {"code", "message"}, "request_id"}`` with the right status.

400 bad_request    malformed multipart, JSON, base64 or tensors, no field ``file``, an empty body
401 unauthorized   no API key, or none that is known
404, 405           no such path, no such method
408 slow_body      the body comes too slowly, or gave way to faster ones
413 too_large      more bytes than allowed;   too_long: more seconds;   too_many_items: more recordings in a batch;
                   too_many_channels: more than are split
415 not_audio      not a container or codec that we read;   truncated, damaged: where EMOTIONS_STRICT is set
415 unsupported_encoding   another Content-Encoding
422 too_short, silent, no_speech, no_channel, not_finite;   crashed: its decoder died, or needed more than it may
422 bad_speakers   names of speakers that cannot be: no channels=split, two alike, no printable characters
422 not_a_number   the model's answer to it holds NaN or infinity
429 too_many_requests   as many requests as allowed are in flight, or their bodies are arriving (Retry-After)
503 not_ready, overloaded, shutting_down;   out_of_memory: the device lacks memory for one window (Retry-After)
503 device_lost    the GPU failed for good: this worker ends and is started anew (Retry-After)
504 timeout
507 no_space       the temporary folder cannot take the upload (Retry-After)
501 not_installed   the package that finds speech is not installed here
500 internal       our mistake: the traceback is logged with the request id and not sent

Below ``/v2`` the form is the Open Inference Protocol's: ``{"error": message}``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse, Response

from emotions.errors import (
    AudioError,
    DeviceLost,
    EmotionsError,
    NotANumber,
    NotAudio,
    NotReady,
    Overloaded,
    TooLong,
    TooManyRequests,
)
from serving.telemetry.requests import HEADER, RequestContext

Body = dict[str, Any]
"""JSON of a response."""

logger = logging.getLogger("bentoml.emotions")

RETRY_AFTER_SEC = 1
CLIENT_GONE = 499
"""Status in the access log of a request whose client disconnected; it is not sent."""

_STATUS: tuple[tuple[type[EmotionsError], int], ...] = (
    (TooManyRequests, 429),
    (Overloaded, 503),
    (NotReady, 503),
    (DeviceLost, 503),
    (NotAudio, 415),
    (TooLong, 413),
    (AudioError, 422),
    (NotANumber, 422),
)
"""Status of the toolkit's errors; the first class that fits counts."""
_PASSING = (Overloaded, DeviceLost)
"""Of errors after which the same request may succeed a little later."""
_MESSAGES = {
    401: ("unauthorized", "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY"),
    404: ("not_found", "no such path; POST /v1/predict classifies a recording"),
    405: ("method_not_allowed", "this path does not take that method"),
    500: ("internal", "an error on our side; the log of the server has it under this request_id"),
    503: ("not_ready", "the service is not ready"),
    504: ("timeout", "the request took too long"),
}


class RequestError(EmotionsError):
    """An error with the HTTP status of its response.

    Args:
        status: HTTP status.
        code: stable snake_case name.
        message: one line for the client.
        retry: whether the same request may succeed a little later.
        close: whether the connection is to be closed.
    """

    def __init__(self, status: int, code: str, message: str, *, retry: bool = False, close: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self._code = code
        self.retry = retry
        self.close = close

    @property
    def code(self) -> str:
        """The code given."""
        return self._code


def to_request_error(error: Exception, request_id: str) -> RequestError:
    """Map an exception to the error that the client gets; of our mistakes only the log has details.

    Args:
        error: anything raised while the request was answered.
        request_id: id of the request.
    """
    if isinstance(error, RequestError):
        return error
    for kind, status in _STATUS:
        if isinstance(error, kind):
            about = "recording: " if isinstance(error, AudioError) else ""
            return RequestError(status, error.code, f"{about}{error}", retry=isinstance(error, _PASSING))
    logger.error("request %s failed", request_id, exc_info=error)
    return of_status(500)


def of_status(status: int) -> RequestError:
    """The error for a bare HTTP status."""
    code, message = _MESSAGES.get(status, ("", ""))
    phrase = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else f"status {status}"
    return RequestError(status, code or phrase.lower().replace(" ", "_"), message or phrase)


def error_response(error: RequestError, context: RequestContext, headers: Mapping[str, str] | None = None) -> Response:
    """An error as an HTTP response, with ``X-Request-Id`` and, where a later attempt may succeed, ``Retry-After``.

    Args:
        error: the error; its code is noted in ``context``.
        context: the request.
        headers: further headers.
    """
    context.code = error.code
    sent = {HEADER: context.request_id, **(headers or {})}
    if error.retry:
        sent["retry-after"] = str(RETRY_AFTER_SEC)
    if error.close:
        sent["connection"] = "close"
    if error.status == HTTPStatus.UNAUTHORIZED:
        sent["www-authenticate"] = "Bearer"
    v1_body = {"error": error_body(error), "request_id": context.request_id}
    return JSONResponse({"error": str(error)} if context.is_v2 else v1_body, error.status, sent)


def error_body(error: RequestError) -> Body:
    """An error in the JSON of a response."""
    return {"code": error.code, "message": str(error)}
