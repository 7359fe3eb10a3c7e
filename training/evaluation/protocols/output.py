"""Where an evaluation is kept, alone in its folder, and the settings that no fold can be trained with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emotions.errors import ConfigError
from emotions.files.atomic import locked, remove_left_over
from emotions.pipeline.runner import Context
from training.config.evaluate import EvaluateStep
from training.config.train import TrainStep
from training.evaluation.protocols.tasks import hash_of

FOLDS = "folds"
"""Folder, below the report's, of the folds that are done."""
_LOCK = "evaluation.lock"


@contextlib.contextmanager
def alone_in(output: Path) -> Iterator[None]:
    """Lock a folder for one evaluation, without what killed ones left. Raises OutputExists where another holds it."""
    lock = output / _LOCK
    with locked(lock, f"{output}: another evaluation is running in it; wait for its end, or name another output"):
        try:
            remove_left_over(output)
            yield
        finally:
            lock.unlink(missing_ok=True)


def check_step(step: TrainStep) -> None:
    """Refuse settings that a fold cannot be trained with, with a ConfigError."""
    if step.devices not in ("auto", 1):
        raise ConfigError("devices: an evaluate step trains each fold on one device; set jobs for more folds at once")
    if step.saving_data_params.start_from_saved_checkpoint_path is not None:
        raise ConfigError(
            "saving_data_params.start_from_saved_checkpoint_path: an evaluate step trains every fold anew, because a "
            "checkpoint may have seen its test speakers"
        )


def output_folder(step: EvaluateStep, context: Context, content: Any) -> Path:
    """The folder that the step names, else one below ``runs`` that depends on the evaluation alone.

    Args:
        step: the ``evaluate`` step.
        context: its root.
        content: what the evaluation depends on, as JSON.
    """
    if step.output is not None:
        return context.root.joinpath(*step.output)
    return context.root / "runs" / f"evaluate-{step.model}-{step.protocol}-{hash_of(content)[:8]}"
