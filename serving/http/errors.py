"""Errors over HTTP: ``{"error": {"code", "message"}, "request_id"}`` with the right status.

400 bad_request    malformed multipart, no field ``file``, an empty body
401 unauthorized   no API key, or none that is known
404, 405           no such path, no such method
413 too_large      more bytes than allowed;   too_long: more seconds;   too_many_items: more recordings in a batch
415 not_audio      not a container or codec that we read, or cut off
422 too_short, silent, not_finite
429 too_many_requests   as many requests as allowed are in flight (Retry-After)
503 not_ready, overloaded, shutting_down (Retry-After)
504 timeout
500 internal       our mistake: logged with the request id, and told without a traceback

The Open Inference Protocol, below ``/v2``, wants ``{"error": message}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from emotions.errors import AudioError, EmotionsError, NotAudio, Overloaded, TooLong, TooManyRequests
from serving.telemetry.request_record import HEADER, RequestContext

RETRY_AFTER_SEC = 1
CLIENT_GONE = 499
"""Status in the access log of a request whose client left; nobody receives it."""

_AUDIO_STATUS: tuple[tuple[type[EmotionsError], int], ...] = ((NotAudio, 415), (TooLong, 413), (AudioError, 422))
_SPOKEN = {
    401: ("unauthorized", "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY"),
    404: ("not_found", "no such path; POST /v1/predict classifies a recording"),
    405: ("method_not_allowed", "this path does not take that method"),
    500: ("internal", "an error on our side; the log of the server has it under this request_id"),
    503: ("not_ready", "the service is not ready"),
    504: ("timeout", "the request took too long"),
}


class RequestError(EmotionsError):
    """A request that gets an error for an answer.

    Args:
        status: HTTP status.
        code: stable snake_case name.
        message: one line for the client.
        retry: whether the same request may succeed a little later.
        close: whether the connection is of no more use.
    """

    def __init__(self, status: int, code: str, message: str, *, retry: bool = False, close: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self._code = code
        self.retry = retry
        self.close = close

    @property
    def code(self) -> str:
        """The name that was given."""
        return self._code


def as_request_error(error: EmotionsError) -> RequestError:
    """What a client is told of an error of the toolkit: its own mistakes and overload; the rest is internal."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, Overloaded):
        status = 429 if isinstance(error, TooManyRequests) else 503
        return RequestError(status, error.code, str(error), retry=True)
    for kind, status in _AUDIO_STATUS:
        if isinstance(error, kind):
            return RequestError(status, error.code, f"recording: {error}")
    return of_status(500)


def of_status(status: int) -> RequestError:
    """The error that stands for a bare HTTP status."""
    code, message = _SPOKEN.get(status, ("", ""))
    phrase = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else f"status {status}"
    return RequestError(status, code or phrase.lower().replace(" ", "_"), message or phrase)


def error_response(error: RequestError, asked: RequestContext, headers: Mapping[str, str] | None = None) -> Response:
    """An error as an HTTP response, with ``X-Request-Id`` and, where it helps, ``Retry-After``."""
    asked.code = error.code
    told = {"error": error_body(error), "request_id": asked.id}
    sent = {HEADER: asked.id, **(headers or {})}
    if error.retry:
        sent["retry-after"] = str(RETRY_AFTER_SEC)
    if error.close:
        sent["connection"] = "close"
    if error.status == HTTPStatus.UNAUTHORIZED:
        sent["www-authenticate"] = "Bearer"
    return JSONResponse({"error": str(error)} if asked.is_v2 else told, error.status, sent)


def error_body(error: RequestError) -> dict[str, str]:
    """An error as answers carry it."""
    return {"code": error.code, "message": str(error)}
