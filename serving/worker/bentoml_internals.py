"""The service's uses of BentoML's internals: the one module that imports ``bentoml._internal``.

BentoML has no public interface for these three. ``tests/serving/worker/test_bentoml_internals.py`` names each of
them, so that a release of BentoML that moves one fails there.
"""

from __future__ import annotations

import os
from typing import Any

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
