"""Train through Ray: the processes of a job on the machines of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emotions.errors import DeviceError, EmotionsError
from emotions.files.atomic import scratch_folder
from training.cluster.connection import check_room, connected
from training.loop.job import Job, ProcessContext, seeded_model, train


def train_on_ray(job: Job) -> None:
    """Train a job in the workers of a Ray cluster, and wait for them.

    All machines must see the data and the run folder at the same paths as this process.
    """
    config = job.step.ray
    cpus = config.workers * config.cpus_per_worker
    needed: dict[str, float] = {"CPU": cpus, "GPU": config.workers if _uses_gpu(job) else 0}
    with scratch_folder("emotions-ray") as storage, connected(config.address, cpus, "ray.address") as ray:
        check_room(ray.cluster_resources(), needed, f"ray.workers: found {config.workers}")
        _fit(job, storage)


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

    config, use_gpu = job.step.ray, _uses_gpu(job)
    return TorchTrainer(
        _work,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(
            num_workers=config.workers,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": config.cpus_per_worker, **({"GPU": 1} if use_gpu else {})},
        ),
        # The run folder is the only result; Ray's own record of the training is discarded.
        run_config=RunConfig(name="run", storage_path=str(storage), failure_config=FailureConfig(max_failures=0)),
    )


def _work(config: dict[str, Any]) -> None:
    """Train in one of the workers."""
    import ray.train
    from ray.train import lightning

    job: Job = config["job"]
    here = ray.train.get_context()
    lit: Any = lightning
    options = {"devices": "auto", "strategy": lit.RayDDPStrategy(), "plugins": [lit.RayLightningEnvironment()]}
    train(job, seeded_model(job), ProcessContext(here.get_world_rank(), here.get_world_size(), options))


def _uses_gpu(job: Job) -> bool:
    return job.step.accelerator in ("gpu", "cuda")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, its causes, and the errors of workers."""
    yield error
    failures = getattr(error, "worker_failures", None) or {}
    for each in [*failures.values(), error.__cause__]:
        if isinstance(each, BaseException):
            yield from _causes(each)
