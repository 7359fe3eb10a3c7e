"""The route table, from which admission, API keys, the access log and the OpenAPI document are derived."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache, partial

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route, compile_path

from serving.http import routes_v1, routes_v2
from serving.http.asyncapi import stream_document
from serving.http.errors import CLIENT_GONE, Body, RequestError, error_response, of_status, to_request_error
from serving.http.openapi import PAGE, PAGE_HEADERS, document, merged
from serving.http.page import site
from serving.telemetry.requests import HEADER, RouteInfo, request_context
from serving.worker.state import WorkerState

Handler = Callable[[Request, WorkerState], Awaitable[Body | Response]]
_SHUTTING_DOWN = RequestError(503, "shutting_down", "the service is shutting down", retry=True)


def application(worker: WorkerState, *, has_page: bool = True) -> Starlette:
    """Our routes as one ASGI application, to be mounted at the root of the service.

    Args:
        worker: the worker's state.
        has_page: whether there is a page at ``/``; else that leads to the Swagger page.
    """
    routes = [
        Route(route.path, partial(answer, worker=worker, handler=route.handler), methods=[route.method])
        for route in ROUTES
        if route.handler and (has_page or route not in PAGE_ROUTES)
    ]
    if not has_page:
        routes.append(Route("/", partial(answer, worker=worker, handler=_to_docs)))
    return Starlette(routes=routes)


async def answer(request: Request, worker: WorkerState, handler: Handler) -> Response:
    """Answer a request by a handler; whatever that raises becomes an error response.

    Args:
        request: a request that came through ``RequestMiddleware``.
        worker: the worker's state.
        handler: gives the JSON body or the response.
    """
    context = request_context(request.scope)
    try:
        body = await handler(request, worker)
    except ClientDisconnect:
        return error_response(RequestError(CLIENT_GONE, "client_gone", "the client left"), context)
    except TimeoutError:
        return error_response(_SHUTTING_DOWN if worker.drain.draining else of_status(504), context)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
        return error_response(to_request_error(error, context.request_id), context)
    return body if isinstance(body, Response) else JSONResponse(body, headers={HEADER: context.request_id})


def find_route(path: str) -> tuple[RouteInfo, dict[str, str]]:
    """The route of a path, whatever the method, and what the path holds in the places of its template, by their names.

    ``OTHER`` or ``OTHER_V2`` for an unknown path. Of the page's files it does not tell the name.
    """
    if found := _BY_PATH.get(path):
        return found, {}
    if path.startswith(("/v1/models/", "/v2/")):
        for pattern, route in _PATTERNS:
            if match := pattern.fullmatch(path):
                return route, match.groupdict()
        return (OTHER_V2 if path.startswith("/v2/") else OTHER), {}
    if path.startswith("/page/"):
        return PAGE_ROUTES[1], {}
    return (_STATIC if path.startswith("/static_content/") else OTHER), {}


async def _swagger(_: Request, __: WorkerState) -> Response:
    return HTMLResponse(PAGE, headers=PAGE_HEADERS)


async def _to_docs(_: Request, __: WorkerState) -> Response:
    return RedirectResponse("/docs")


async def _openapi(_: Request, __: WorkerState) -> Response:
    return Response(_document(), media_type="application/json")


async def _asyncapi(_: Request, __: WorkerState) -> Response:
    return JSONResponse(stream_document())


async def _docs(_: Request, worker: WorkerState) -> Response:
    """What the Swagger page shows: our routes and BentoML's."""
    return Response(_merged(worker.bentoml_openapi), media_type="application/json")


# They are public and large: made once.
@cache
def _document() -> bytes:
    return bytes(JSONResponse(document(ROUTES)).body)


@cache
def _merged(bentoml_openapi: Callable[[], Body]) -> bytes:
    return bytes(JSONResponse(merged(document(ROUTES), bentoml_openapi())).body)


_V1_MODEL = "/v1/models/{name}"
_V2_MODEL = "/v2/models/{name}"
_V2_VERSION = f"{_V2_MODEL}/versions/{{version}}"
PAGE_ROUTES = (
    RouteInfo("/", "GET", site.index, public=True),
    RouteInfo("/page/{name:path}", "GET", site.file, public=True, log_quietly=True),
)
"""The page for people, and its files."""
ROUTES = (
    RouteInfo("/v1/predict", "POST", routes_v1.predict, classifies=True, openapi="predict"),
    RouteInfo("/v1/predict/batch", "POST", routes_v1.predict_batch, classifies=True, openapi="predict_batch"),
    RouteInfo("/v1/stream", "GET", routes_v1.stream, openapi="stream"),
    RouteInfo("/v1/model", "GET", routes_v1.model, openapi="model"),
    RouteInfo("/v1/models", "GET", routes_v1.models, openapi="models"),
    RouteInfo(_V1_MODEL, "GET", routes_v1.model, openapi="named_model"),
    RouteInfo(f"{_V1_MODEL}/predict", "POST", routes_v1.predict, classifies=True, openapi="named_predict"),
    RouteInfo(
        f"{_V1_MODEL}/predict/batch", "POST", routes_v1.predict_batch, classifies=True, openapi="named_predict_batch"
    ),
    RouteInfo(f"{_V1_MODEL}/stream", "GET", routes_v1.stream, openapi="named_stream"),
    RouteInfo("/v2", "GET", routes_v2.server, openapi="v2_server"),
    RouteInfo("/v2/health/live", "GET", routes_v2.live, public=True, log_quietly=True, openapi="v2_live"),
    RouteInfo("/v2/health/ready", "GET", routes_v2.ready, public=True, log_quietly=True, openapi="v2_ready"),
    RouteInfo(_V2_MODEL, "GET", routes_v2.model, openapi="v2_model"),
    RouteInfo(_V2_VERSION, "GET", routes_v2.model),
    RouteInfo(f"{_V2_MODEL}/ready", "GET", routes_v2.model_ready, openapi="v2_model_ready"),
    RouteInfo(f"{_V2_VERSION}/ready", "GET", routes_v2.model_ready),
    RouteInfo(f"{_V2_MODEL}/infer", "POST", routes_v2.infer, classifies=True, openapi="v2_infer"),
    RouteInfo(f"{_V2_VERSION}/infer", "POST", routes_v2.infer, classifies=True),
    *PAGE_ROUTES,
    RouteInfo("/docs", "GET", _swagger, public=True),
    RouteInfo("/v1/openapi.json", "GET", _openapi, public=True),
    RouteInfo("/v1/asyncapi.json", "GET", _asyncapi, public=True),
    RouteInfo("/docs.json", "GET", _docs, public=True),
    RouteInfo("/metrics", "GET", routes_v1.metrics, public=True, log_quietly=True),
    # BentoML's own.
    RouteInfo("/predict", "POST", classifies=True),
    RouteInfo("/schema.json", public=True),
    RouteInfo("/livez", public=True, log_quietly=True),
    RouteInfo("/readyz", public=True, log_quietly=True),
    RouteInfo("/healthz", public=True, log_quietly=True),
)
OTHER, OTHER_V2 = RouteInfo("other"), RouteInfo("/v2/other")
"""Of unknown paths."""
_STATIC = RouteInfo("other", public=True)  # the files of the Swagger page
_BY_PATH = {route.path: route for route in ROUTES if "{" not in route.path}
_PATTERNS = [(compile_path(route.path)[0], route) for route in ROUTES if "{" in route.path]
