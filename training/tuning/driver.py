"""Run the experiment from this process or, behind ``ray://``, from one in the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emotions.files.atomic import scratch_folder
from training.cluster.connection import run_packed
from training.tuning.experiment import run_experiment
from training.tuning.live_table import LiveTable
from training.tuning.trial import Shared

_HEAD = {"node:__internal_head__": 0.001}  # the head node: the cluster ends with it
_POLL_SEC = 1.0
_CANCEL_SEC = 30.0  # for the process in the cluster to end its trials, which record that they were stopped


def drive(ray: Any, shared: Shared, pending: Sequence[int], needed: dict[str, float]) -> None:
    """Run trials until all have ended or Ctrl-C stops them.

    Behind Ray's client, Ray Tune has to run within the cluster: in a process there that reserves nothing.

    Args:
        ray: the connected module.
        shared: what all trials have in common.
        pending: numbers of the trials to run.
        needed: resources of a trial: ``CPU``, ``GPU``.
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
        scratch_folder("emotions-tune") as scratch,
        LiveTable(results, shared.search, quiet=shared.context.quiet or not here) as table,
    ):
        run_experiment(shared, results, table, pending, needed, scratch)


def _watch(ray: Any, shared: Shared, experiment: Any) -> None:
    """Show the records until the experiment in the cluster has ended."""
    results = shared.results()
    with LiveTable(results, shared.search, quiet=shared.context.quiet) as table:
        try:
            while not ray.wait([experiment], timeout=_POLL_SEC)[0]:
                results.fetch(record_only=True)
                table.show()
            ray.get(experiment)
        except KeyboardInterrupt:
            ray.cancel(experiment)
            ray.wait([experiment], timeout=_CANCEL_SEC)
        results.fetch()
        for trial in results.trials():
            table.ended(trial)
