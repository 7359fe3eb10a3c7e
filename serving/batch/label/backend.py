"""A model for Label Studio in front of the service, by the protocol of its ML backends.

GET ``/health``, POST ``/setup``, POST ``/predict``, POST ``/webhook``. The package ``label-studio-ml`` speaks it, too,
but its last release (1.0.9) pins Flask 1.1, Jinja2 3.0 and Werkzeug 2.0, which the service cannot have. Nothing is
trained here: ``/webhook`` and ``/train`` are acknowledged.

Source: "Write your own ML backend" of Label Studio's documentation, and ``label_studio/ml_models`` in its code.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from emotions.calls.formats.label_studio_choices import choice_prediction
from emotions.client.client import Client
from emotions.errors import ConfigError, DataError, EmotionsError, ServiceError
from emotions.files.json_text import parse_json
from serving.batch.label.recordings import TaskRecordings

MAX_BODY = 4 << 20
MAX_TASKS = 1_000
"""Most bytes of a request, and tasks in one."""
_OF_THE_SERVICE = (401, 403, 404, 429)
"""Refusals that are not the recording's fault."""
_NOTHING: dict[str, Any] = {"result": [], "score": 0.0}
logger = logging.getLogger("emotions.label")


def backend(client: Client, recordings: TaskRecordings, login: str = "") -> Starlette:
    """The application.

    Args:
        client: of the service that answers.
        recordings: of tasks.
        login: ``user:password`` that Label Studio is configured to send; empty for none.
    """

    async def health(request: Request) -> JSONResponse:
        if not _allowed(request, login):
            return _refusal(401, "this backend has a user and a password")
        try:
            served = await run_in_threadpool(client.model)
        except EmotionsError as error:
            return _refusal(503, f"the service does not answer: {error}")
        return JSONResponse({"status": "UP", "model_class": "emotions", "model_version": _version(served)})

    async def predict(request: Request) -> JSONResponse:
        if not _allowed(request, login):
            return _refusal(401, "this backend has a user and a password")
        try:
            tasks, config = _asked(await _body(request))
        except (ConfigError, DataError) as error:
            return _refusal(400, str(error))
        try:
            version = _version(await run_in_threadpool(client.model))
            found = [await run_in_threadpool(_answer, client, recordings, each, config, version) for each in tasks]
        except ServiceError as error:
            return _refusal(503, f"the service does not answer: {error}")
        return JSONResponse({"results": found, "model_version": version})

    async def acknowledge(request: Request) -> JSONResponse:
        return JSONResponse({}) if _allowed(request, login) else _refusal(401, "this backend has a user and a password")

    return Starlette(
        routes=[
            Route("/", health),
            Route("/health", health),
            Route("/setup", health, methods=["POST"]),
            Route("/predict", predict, methods=["POST"]),
            Route("/webhook", acknowledge, methods=["POST"]),
            Route("/train", acknowledge, methods=["POST"]),
        ]
    )


def _answer(
    client: Client, recordings: TaskRecordings, task: Mapping[str, Any], config: str, version: str
) -> dict[str, Any]:
    """The prediction for a task; an empty one where its recording cannot be used: the others have theirs."""
    try:
        found = client.predict(recordings.read(task.get("data")))
    except DataError as error:
        logger.warning("a task has no prediction: %s", error)
        return {**_NOTHING, "model_version": version}
    except ServiceError as error:
        if not 400 <= error.status < 500 or error.status in _OF_THE_SERVICE:
            raise
        logger.warning("a task has no prediction: %s", error)
        return {**_NOTHING, "model_version": version}
    shown = {target: each for target, each in found.probabilities.items() if not config or f'name="{target}"' in config}
    return choice_prediction(version, shown)


def _version(served: Mapping[str, Any]) -> str:
    return str(served.get("bundle", "emotions"))


def _asked(body: Any) -> tuple[Sequence[Mapping[str, Any]], str]:
    """The tasks of a request, and the labelling page that they are shown on."""
    tasks = body.get("tasks") if isinstance(body, dict) else None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise DataError("the request has no list of tasks")
    if len(tasks) > MAX_TASKS:
        raise DataError(f"the request has more than {MAX_TASKS} tasks")
    config = body.get("label_config")
    return tasks, config if isinstance(config, str) else ""


async def _body(request: Request) -> Any:
    content = b""
    async for block in request.stream():
        content += block
        if len(content) > MAX_BODY:
            raise DataError(f"the request has more than {MAX_BODY >> 20} MiB")
    try:
        return parse_json(content.decode(), "the request")
    except UnicodeDecodeError as error:
        raise DataError("the request is not UTF-8") from error


def _allowed(request: Request, login: str) -> bool:
    if not login:
        return True
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    try:
        sent = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return False
    return scheme.lower() == "basic" and hmac.compare_digest(sent, login.encode())


def _refusal(status: int, why: str) -> JSONResponse:
    return JSONResponse({"error": why}, status)
