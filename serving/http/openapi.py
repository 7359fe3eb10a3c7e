"""The OpenAPI document of the routes: ``templates/openapi.yaml`` with the paths of the route table."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import emotions
from serving.telemetry.requests import RouteInfo

Json = dict[str, Any]
_TEMPLATES = Path(__file__).parent / "templates"
PAGE = (_TEMPLATES / "index.html").read_text(encoding="utf-8")
"""The Swagger page at ``/docs``: BentoML's files of it, without the tracker that BentoML's own page loads."""
PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
    "x-content-type-options": "nosniff",
}
"""The page loads nothing from other hosts."""


def document(routes: Iterable[RouteInfo]) -> Json:
    """The OpenAPI document of those routes that have an operation."""
    template = _template()
    paths = {
        route.path: {route.method.lower(): template["operations"][route.openapi]} for route in routes if route.openapi
    }
    info = {**template["document"]["info"], "version": emotions.__version__}
    return {**template["document"], "info": info, "paths": paths}


def merged(ours: Json, other: Json) -> Json:
    """Two documents in one, with the title and the security of ours; ``/predict`` is described as ``/v1/predict`` is.

    Args:
        ours: the document of our routes.
        other: that of BentoML's own.
    """
    aliases = {path: ours["paths"][f"/v1{path}"] for path in other.get("paths", {}) if f"/v1{path}" in ours["paths"]}
    paths = {**other.get("paths", {}), **aliases, **ours["paths"]}
    components = {**other.get("components", {})}
    for kind, named in ours["components"].items():
        components[kind] = {**components.get(kind, {}), **named}
    own = {"info": ours["info"], "security": ours["security"], "paths": paths, "components": components}
    return {**ours, **other, **own}


@cache
def _template() -> Json:
    template: Json = yaml.safe_load((_TEMPLATES / "openapi.yaml").read_text(encoding="utf-8"))
    return template
