"""The service's uses of BentoML's internals: the one module that imports ``bentoml._internal``.

BentoML has no public interface for these. ``tests/serving/worker/test_bentoml_internals.py`` names each of
them, so that a release of BentoML that moves one fails there.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

import uvicorn.config
from bentoml._internal.configuration.containers import BentoMLContainer

_TRACKING, _TRACKER = "BENTOML_DO_NOT_TRACK", "bentoml._internal.utils.analytics.usage_stats"
_METRICS = "PROMETHEUS_MULTIPROC_DIR"


def disable_usage_tracking() -> None:
    """Switch off BentoML's usage statistics, unless the user has set the variable otherwise."""
    os.environ.setdefault(_TRACKING, "True")
    # BentoML reads the variable once, before it imports the service: its cached value is dropped. Where the module is
    # not loaded nothing was read; to import it takes a quarter of a second, as it brings the client of BentoML's cloud.
    if (tracker := sys.modules.get(_TRACKER)) is not None:
        tracker.do_not_track.cache_clear()


def tracer_provider() -> Any:
    """OpenTelemetry's tracer provider, as BentoML's configuration sets it up."""
    return BentoMLContainer.tracer_provider.get()


def configured_host() -> str:
    """Address that BentoML's configuration listens on, where the command line names none."""
    return str(BentoMLContainer.http.host.get())


def name_host(address: str) -> None:
    """Let BentoML's configuration listen on an address."""
    BentoMLContainer.http.host.set(address)


def prepare_metrics() -> None:
    """Name the folder in which the workers of this process share their metrics, as ``bentoml serve`` does."""
    os.environ.setdefault(_METRICS, BentoMLContainer.prometheus_multiproc_dir.get())


def log_as_bentoml() -> None:
    """Write the log of this process as BentoML's servers do."""
    from bentoml._internal.log import configure_server_logging

    configure_server_logging()  # type: ignore[no-untyped-call]


def run_hooks(service: Any) -> None:
    """Run what a service does before its first worker, as ``bentoml serve`` does. Raises what the hooks raise."""
    for name in dir(service.inner):
        member = getattr(service.inner, name)
        if callable(member) and getattr(member, "__bentoml_deployment_hook__", False):
            member()


def run_worker(target: str, descriptor: int, number: int, keep_alive_sec: int) -> None:
    """Be one of BentoML's workers until this process is told to end.

    Args:
        target: ``module:name`` of the service.
        descriptor: of the socket that listens.
        number: of the worker, from 1.
        keep_alive_sec: seconds for which a connection may be idle.
    """
    from _bentoml_impl.worker.service import main  # type: ignore[import-untyped]
    from bentoml._internal.log import _component_name

    _component_name.cache_clear()  # of the process that this one was forked from
    options = {"--service-name": target.rpartition(":")[2], "--fd": descriptor, "--worker-id": number}
    options["--timeout-keep-alive"] = keep_alive_sec
    main([target, *(str(part) for option in options.items() for part in option)], standalone_mode=False)


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
