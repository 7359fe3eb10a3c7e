"""The routes as one ASGI application, to be mounted at the root of the service."""

from __future__ import annotations

from starlette.applications import Starlette

from serving.http.routes_v1 import Routes
from serving.http.routes_v2 import InferenceProtocol


def application(routes: Routes) -> Starlette:
    """The routes below ``/v1`` and ``/v2``, the metrics and the description."""
    return Starlette(routes=[*routes.all(), *InferenceProtocol(routes).all()])
