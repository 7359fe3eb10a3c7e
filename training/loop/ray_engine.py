"""Training through Ray: the processes of a job on the machines of a cluster."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emotions.errors import ConfigError, DeviceError, EmotionsError
from training.config import RayConfig
from training.loop.job import Job, Place, seeded_model, train

_TELEMETRY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TRAIN_ENABLE_STATE_TRACKING": "0"}
_KNOCK_SEC = 5.0


def train_on_ray(job: Job) -> None:
    """Train a job in the workers of a Ray cluster; this process waits.

    The workers read the data and write the run folder where this process would: all machines must see them there.

    Raises:
        EmotionsError: what went wrong in a worker, as ``job.train`` raises it.
        ConfigError: the cluster does not answer, or has too few cores.
        DeviceError: a worker was lost.
    """
    os.environ.update(_TELEMETRY)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as storage:
        for category in (DeprecationWarning, FutureWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)  # Ray's, of its own modules
        with _cluster(job.step.ray) as ray:
            _check_room(ray.cluster_resources(), job.step.ray, gpu=_wants_gpu(job))
            _fit(job, Path(storage))


def _fit(job: Job, storage: Path) -> None:
    from ray.train.v2.api.exceptions import TrainingFailedError

    try:
        _trainer(job, storage).fit()
    except TrainingFailedError as error:
        causes = [each for each in _causes(error) if isinstance(each, EmotionsError)]
        if causes:
            raise causes[0] from None
        reason = str(error).strip().splitlines()[-1]
        raise DeviceError(f"training on Ray failed: {reason}") from error


def _trainer(job: Job, storage: Path) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    wanted = job.step.ray
    return TorchTrainer(
        _work,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(
            num_workers=wanted.workers,
            use_gpu=_wants_gpu(job),
            resources_per_worker={"CPU": wanted.cpus_per_worker, **({"GPU": 1} if _wants_gpu(job) else {})},
        ),
        # The run folder has all that is kept; Ray's own record of the training is thrown away.
        run_config=RunConfig(name="run", storage_path=str(storage), failure_config=FailureConfig(max_failures=0)),
    )


def _work(config: dict[str, Any]) -> None:
    """One of the workers."""
    import ray.train
    from ray.train import lightning

    job: Job = config["job"]
    here = ray.train.get_context()
    lit: Any = lightning
    options = {"devices": "auto", "strategy": lit.RayDDPStrategy(), "plugins": [lit.RayLightningEnvironment()]}
    train(job, seeded_model(job), Place(here.get_world_rank(), here.get_world_size(), options))


def _wants_gpu(job: Job) -> bool:
    return job.step.accelerator in ("gpu", "cuda")


@contextmanager
def _cluster(wanted: RayConfig) -> Iterator[Any]:
    """Ray, connected to the cluster, or to a new one on this machine.

    Raises:
        ConfigError: the cluster does not answer.
    """
    if wanted.address is not None and wanted.address != "auto":
        _check_answer(wanted.address)
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if wanted.address is None:
        cpus = wanted.workers * wanted.cpus_per_worker
        quiet.update(address="local", include_dashboard=False, num_cpus=cpus)
    else:
        quiet.update(address=wanted.address)
    try:
        ray.init(**quiet)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        raise _no_answer(wanted.address, error) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_answer(address: str) -> None:
    """Knock at an address: Ray itself would knock for minutes, and may end the process.

    Raises:
        ConfigError: nobody answers, or it is no address.
    """
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        if not parts.hostname or not parts.port:
            raise ValueError('it is neither "auto" nor host:port')
        socket.create_connection((parts.hostname, parts.port), _KNOCK_SEC).close()
    except (OSError, ValueError) as error:
        raise _no_answer(address, error) from error


def _no_answer(address: str | None, error: Exception) -> ConfigError:
    reason = (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")
    return ConfigError(
        f"ray.address: no Ray cluster answers at {address!r} ({reason}); start one with `ray start --head`, "
        "or leave ray.address out to use this machine"
    )


def _check_room(resources: dict[str, float], wanted: RayConfig, *, gpu: bool) -> None:
    """Refuse what the cluster could never start: Ray would wait for it for ever."""
    for name, needed in (("CPU", wanted.workers * wanted.cpus_per_worker), ("GPU", wanted.workers if gpu else 0)):
        found = int(resources.get(name, 0))
        if found < needed:
            raise ConfigError(
                f"ray.workers: found {wanted.workers}, which need {needed} {name}s; the cluster has {found}"
            )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and what workers raised."""
    yield error
    failures = getattr(error, "worker_failures", None) or {}
    for each in [*failures.values(), error.__cause__]:
        if isinstance(each, BaseException):
            yield from _causes(each)
