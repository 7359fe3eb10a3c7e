"""The AsyncAPI document of ``/v1/stream``: ``templates/asyncapi.yaml``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

import emotions

_TEMPLATE = Path(__file__).parent / "templates" / "asyncapi.yaml"


@cache
def stream_document() -> dict[str, Any]:
    """The document, of the version of this package."""
    document: dict[str, Any] = yaml.safe_load(_TEMPLATE.read_text(encoding="utf-8"))["document"]
    return {**document, "info": {**document["info"], "version": emotions.__version__}}
