"""Where the experiment is driven from: this process, or, behind ``ray://``, one of the cluster's."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.cluster.connection import run_packed
from training.tuning.experiment import run_experiment
from training.tuning.live_table import LiveTable
from training.tuning.trial import Shared

_HEAD = {"node:__internal_head__": 0.001}  # the node whose end is the cluster's
_LOOK_SEC = 1.0
_FAREWELL_SEC = 30.0


def drive(ray: Any, shared: Shared, pending: Sequence[int], needed: dict[str, float]) -> None:
    """Run trials until all have ended or Ctrl-C stops them.

    Ray's client can start an experiment only within the cluster: from a process there that reserves nothing.

    Args:
        ray: connected.
        shared: what all trials have in common.
        pending: numbers of the trials to run.
        needed: what a trial reserves: ``CPU``, ``GPU``.
    """
    if ray.util.client.ray.is_connected():
        call = ray.cloudpickle.dumps((_drive, (shared, list(pending), needed)))
        remote = ray.remote(num_cpus=0, max_retries=0, resources=_HEAD)(run_packed)
        _watch(ray, shared, remote.remote(call))
    else:
        _drive(shared, pending, needed, here=True)


def _drive(shared: Shared, pending: Sequence[int], needed: dict[str, float], *, here: bool = False) -> None:
    shared = shared if here else shared.on_node("driver")
    results = shared.results()
    results.fetch()
    with (
        tempfile.TemporaryDirectory() as scratch,
        LiveTable(results, shared.search, quiet=shared.context.quiet or not here) as screen,
    ):
        run_experiment(shared, results, screen, pending, needed, Path(scratch))


def _watch(ray: Any, shared: Shared, driving: Any) -> None:
    """Show what is on record until the experiment in the cluster has ended."""
    results = shared.results()
    with LiveTable(results, shared.search, quiet=shared.context.quiet) as screen:
        try:
            while not ray.wait([driving], timeout=_LOOK_SEC)[0]:
                results.fetch(record_only=True)
                screen.show()
            ray.get(driving)
        except KeyboardInterrupt:
            ray.cancel(driving)
            ray.wait([driving], timeout=_FAREWELL_SEC)
        results.fetch()
        for trial in results.trials():
            screen.ended(trial)
