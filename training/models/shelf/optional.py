"""Encoders that a model is better with, and can do without where they cannot be had."""

from __future__ import annotations

import logging

from emotions.errors import first_line
from training.config.architectures import FunctionalsArchitecture
from training.config.train import TrainStep
from training.models.shelf.artefact import CannotBeHad
from training.models.shelf.fetch import folder_of

logger = logging.getLogger(__name__)


def with_what_is_there(step: TrainStep) -> tuple[TrainStep, str | None]:
    """Leave an encoder out that is not required and cannot be had here.

    Args:
        step: names the encoder.

    Returns:
        The step, without the encoder where that is so, and what reports say of it.

    Raises:
        ConfigError: what was fetched is another artefact than it is pinned to.
        DiskFull: there is no room for it.
    """
    architecture = step.model_architecture
    if not isinstance(architecture, FunctionalsArchitecture) or architecture.encoder_required:
        return step, None
    reason = None if architecture.encoder is None else _missing(architecture.encoder)
    if reason is None:
        return step, None
    note = f"without the encoder {architecture.encoder}, by the statistics of the sound alone: {reason}"
    logger.warning(note)
    alone = architecture.model_copy(update={"encoder": None})
    return step.model_copy(update={"model_architecture": alone}), note


def _missing(name: str) -> str | None:
    """Why an encoder cannot be had; None where it is here, if need be fetched now."""
    try:
        folder_of(name)
    except CannotBeHad as error:
        return first_line(error)
    return None
