"""The service's uses of BentoML's internals: the one module that imports ``bentoml._internal``.

BentoML has no public interface for these. ``tests/serving/worker/test_bentoml_internals.py`` names each of
them, so that a release of BentoML that moves one fails there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import uvicorn.config
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.utils.analytics import usage_stats


def disable_usage_tracking() -> None:
    """Switch off BentoML's usage statistics, unless the user has set the variable otherwise."""
    os.environ.setdefault(usage_stats.BENTOML_DO_NOT_TRACK, "True")
    # BentoML reads the variable once, before it imports the service: its cached value is dropped.
    usage_stats.do_not_track.cache_clear()


def tracer_provider() -> Any:
    """OpenTelemetry's tracer provider, as BentoML's configuration sets it up."""
    return BentoMLContainer.tracer_provider.get()


def configured_host() -> str:
    """Address that BentoML's configuration listens on, where the command line names none."""
    return str(BentoMLContainer.http.host.get())


def serve_by(
    protocol: type[asyncio.Protocol], websocket: type[asyncio.Protocol], trusted_proxies: Sequence[str]
) -> None:
    """Set what the servers that BentoML starts in this process use: it has options for none of it.

    Args:
        protocol: of connections, in place of uvicorn's own.
        websocket: of those that become WebSockets.
        trusted_proxies: addresses whose ``X-Forwarded-For`` is believed, where the environment names none for uvicorn,
            which believes everybody on this machine by default.
    """
    uvicorn.config.HTTP_PROTOCOLS["auto"] = protocol  # type: ignore[assignment]  # takes classes as well as names
    uvicorn.config.WS_PROTOCOLS["auto"] = websocket  # type: ignore[assignment]
    if trusted_proxies:
        os.environ["FORWARDED_ALLOW_IPS"] = ",".join(trusted_proxies)
    else:
        os.environ.setdefault("FORWARDED_ALLOW_IPS", "")
