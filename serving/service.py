"""The service: ``bentoml serve serving.service:EmotionService``, or ``emotions serve --bundle B``.

Serves the bundle that ``EMOTIONS_BUNDLE`` names, and those of ``EMOTIONS_BUNDLES``, else the newest one in
``./bundles``; ``serving.settings`` lists what else can be set. Listens on 127.0.0.1:3000 by default. The requests are
answered by ``serving.http.route_table``, a Starlette application that BentoML mounts: twice as fast as BentoML's own
API methods and batcher.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import bentoml
import click
from bentoml.exceptions import BentoMLException
from starlette.requests import Request
from starlette.types import ASGIApp

from emotions.bundle.named import named_bundles
from emotions.errors import EmotionsError
from serving.http import routes_v1
from serving.http.api_keys import ApiKeyAuth, check_exposure, read_auth
from serving.http.cors import ANY_ORIGIN, BrowserAccess
from serving.http.errors import Body
from serving.http.middleware import RequestMiddleware
from serving.http.participants import Answer, Part
from serving.http.query import Query
from serving.http.responses import prediction_body
from serving.http.route_table import answer, application, find_route
from serving.settings import API_KEYS_FILE, CORS_ORIGINS, SUPERVISOR, Settings, read_settings
from serving.telemetry.log_lines import write_in_groups
from serving.telemetry.metrics import Metrics
from serving.telemetry.requests import new_id, set_log_format, use_tracer_provider
from serving.worker.bentoml_internals import configured_host, disable_usage_tracking, serve_by, tracer_provider
from serving.worker.http_protocol import Direct, bounded_protocol
from serving.worker.last_taken import share_last_taken
from serving.worker.loading import declared_models, load_model, load_shadow
from serving.worker.memory import return_memory
from serving.worker.shared import Shared
from serving.worker.startup import (
    BUNDLE_VARIABLE,
    BUNDLES_VARIABLE,
    SHADOW_VARIABLE,
    SOURCE_VARIABLE,
    check,
    given_bundle,
    open_predictor,
)
from serving.worker.state import Drain, WorkerState
from serving.worker.swap import Follower
from serving.worker.websocket_protocol import bounded_websocket

logger = logging.getLogger("bentoml.emotions")

disable_usage_tracking()


def _read() -> tuple[Settings, ApiKeyAuth]:
    try:
        settings = read_settings(os.environ)
        return settings, read_auth(settings)
    except EmotionsError as error:
        raise BentoMLException(str(error)) from error


def _bentoml_openapi() -> Body:
    spec: Body = EmotionService.openapi_spec.asdict()  # type: ignore[attr-defined]
    return spec


SETTINGS, AUTH = _read()
WORKER = WorkerState(Metrics(), Drain(SETTINGS.drain_sec, SETTINGS.drain_delay_sec), _bentoml_openapi)
ROUTES = application(WORKER, has_page=SETTINGS.ui)
set_log_format(SETTINGS.log_format)


def _front(app: ASGIApp) -> ASGIApp:
    """What is outside of an application: the one form of ids and errors, and outermost the access of browsers."""
    inner = RequestMiddleware(app, WORKER, AUTH, ROUTES)
    return BrowserAccess(inner, SETTINGS.cors_origins) if SETTINGS.cors_origins else inner


# Our own routes are answered past BentoML's layers: they need none of them but that which opens spans.
DIRECT = None if SETTINGS.trace_rate else Direct(_front(ROUTES), lambda path: find_route(path)[0].handler is not None)
serve_by(bounded_protocol(SETTINGS, DIRECT), bounded_websocket(SETTINGS), SETTINGS.trusted_proxies)


class Refusal(click.ClickException):
    """Ends ``bentoml serve`` with the exit code of a user's mistake, as everywhere; BentoML's exceptions give 1."""

    exit_code = 2


class Upload(bentoml.IODescriptor):  # type: ignore[misc]  # bentoml is not typed
    """The input of BentoML's own API: one file."""

    file: Path

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Upload:  # noqa: ARG003  # BentoML's signature
        """Leave the request unread: our reader limits its bytes, and logs no traceback for a client's mistake."""
        unread: Upload = cls.model_construct(file=request)
        return unread


@bentoml.service(
    http={"host": "127.0.0.1", "port": 3000},
    workers=SETTINGS.processes,
    # Our own time limit is shorter; this one is for what ours does not cover.
    traffic={"timeout": SETTINGS.timeout_sec + 5},
    # Both record raw paths, which clients can invent; ours record routes.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    # BentoML creates spans for every request, sampled or not, at 0.4 ms of CPU: exclude all where none is sampled.
    tracing={"sample_rate": SETTINGS.trace_rate, **({} if SETTINGS.trace_rate else {"excluded_urls": "."})},
)
@bentoml.asgi_app(ROUTES, path="/", name="routes")
class EmotionService:
    """Speech emotion recognition: a recording in, probabilities for each label out."""

    def __init__(self) -> None:
        use_tracer_provider(tracer_provider())
        WORKER.shared = Shared.of(SETTINGS)
        WORKER.shared.decoder.begin_warm_up()
        try:
            WORKER.models = declared_models(SETTINGS)
        except EmotionsError as error:
            logger.error("cannot find the bundle: %s", error)
            return
        for served in WORKER.models:
            load_model(served, WORKER, SETTINGS, _index(), open_predictor)
        load_shadow(WORKER, SETTINGS)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check_bundle() -> None:
        """Refuse to start with a bundle that does not load, or exposed without keys. Runs once, in the parent."""
        try:
            check_exposure(_host(), SETTINGS)
            if ANY_ORIGIN in SETTINGS.cors_origins:
                logger.warning("%s=*: pages of every site may call this service from a browser", CORS_ORIGINS)
            os.environ[SUPERVISOR] = str(os.getpid())
            os.environ[SOURCE_VARIABLE] = str(given_bundle(SETTINGS))
            os.environ[BUNDLE_VARIABLE] = str(check(SETTINGS))
            share_last_taken()
            if SETTINGS.shadow is not None:
                os.environ[SHADOW_VARIABLE] = str(SETTINGS.shadow.absolute())
            if SETTINGS.bundles:  # the workers must not find others than this process
                named = {name: str(path) for name, path in named_bundles(SETTINGS.bundles).items()}
                os.environ[BUNDLES_VARIABLE] = json.dumps(named)
            if SETTINGS.api_keys_file is not None:
                os.environ[API_KEYS_FILE] = str(SETTINGS.api_keys_file.resolve())
        except EmotionsError as error:
            raise Refusal(str(error)) from error

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def settle(self) -> None:
        """Exclude all objects made at start-up from garbage collection, whose full passes would delay requests."""
        if threading.current_thread() is threading.main_thread():
            WORKER.drain.on_sigterm()
        if supervisor := os.environ.get(SUPERVISOR):
            self.watch = asyncio.create_task(WORKER.drain.end_with(int(supervisor)))
        self.device = asyncio.create_task(WORKER.end_with_device())
        if SETTINGS.reload_sec:
            follower = Follower(WORKER, SETTINGS, _index(), open_predictor)
            self.following = asyncio.create_task(follower.follow(SETTINGS.reload_sec))
        self.memory = asyncio.create_task(return_memory())
        write_in_groups([logger.parent or logger])
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Stop the engines, and write what was counted of late."""
        for served in WORKER.models:
            engine, served.engine = served.engine, None
            if engine is not None:
                if engine.shadow is not None:
                    engine.shadow.close()
                engine.close()
        if WORKER.shared is not None:
            WORKER.shared.decoder.close()
        WORKER.metrics.write()

    async def __is_ready__(self) -> bool:
        return WORKER.ready

    @bentoml.api(route="/predict", input_spec=Upload)  # type: ignore[untyped-decorator]
    async def predict(self, file: Path) -> dict[str, Any]:
        """Classify one recording: as ``/v1/predict``, for BentoML's clients and its Swagger page."""
        if isinstance(file, Request):
            return await answer(file, WORKER, routes_v1.predict)  # type: ignore[return-value]  # BentoML takes a response as it is
        engine = WORKER.engine
        if engine is None:
            raise BentoMLException("the service is not ready")
        started = time.perf_counter()
        with engine.in_use():
            found = Answer((Part("", None, await engine.classify(file)),), Query())
        total_sec = time.perf_counter() - started
        return prediction_body(found, engine, new_id(), total_sec)


def _index() -> int:
    """Number of this worker, from 0."""
    return int(bentoml.server_context.worker_index or 1) - 1


def _host() -> str:
    """The address that ``bentoml serve`` listens on."""
    context = click.get_current_context(silent=True)
    named = context.params.get("host") if context else None
    return str(named or configured_host())


EmotionService.add_asgi_middleware(_front)  # type: ignore[attr-defined]
