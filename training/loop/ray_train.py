"""Training through Ray: the processes of a job on the machines of a cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emotions.errors import DeviceError, EmotionsError
from training.cluster.connection import check_room, connected
from training.loop.job import Job, ProcessContext, seeded_model, train


def train_on_ray(job: Job) -> None:
    """Train a job in the workers of a Ray cluster; this process waits.

    The workers read the data and write the run folder where this process would: all machines must see them there.

    Raises:
        EmotionsError: what went wrong in a worker, as ``job.train`` raises it.
        ConfigError: the cluster does not answer, or has too few cores.
        DeviceError: a worker was lost.
    """
    wanted = job.step.ray
    cpus = wanted.workers * wanted.cpus_per_worker
    needed: dict[str, float] = {"CPU": cpus, "GPU": wanted.workers if _wants_gpu(job) else 0}
    with tempfile.TemporaryDirectory() as storage, connected(wanted.address, cpus, "ray.address") as ray:
        check_room(ray.cluster_resources(), needed, f"ray.workers: found {wanted.workers}")
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
    train(job, seeded_model(job), ProcessContext(here.get_world_rank(), here.get_world_size(), options))


def _wants_gpu(job: Job) -> bool:
    return job.step.accelerator in ("gpu", "cuda")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and what workers raised."""
    yield error
    failures = getattr(error, "worker_failures", None) or {}
    for each in [*failures.values(), error.__cause__]:
        if isinstance(each, BaseException):
            yield from _causes(each)
