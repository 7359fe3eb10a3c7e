"""The models that a config can name: a closed table, so that no config ever names code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from emotions.errors import ConfigError
from training.config import ModelSpec, SpectrogramCnnArchitecture
from training.models.base import Classifier
from training.models.cnn_classifier import CnnHead
from training.models.spectrogram import Spectrogram

Described = TypeVar("Described", bound=BaseModel)


def build_model(spec: ModelSpec) -> Classifier:
    """Build a model with fresh weights from torch's global generator, in training mode.

    Raises:
        ConfigError: this release does not train such a model, or its architecture is impossible.
    """
    check_trained(spec.model)
    return _BUILDERS[spec.model](spec)


def check_trained(model: str) -> None:
    """Refuse a model that a config may name but this release does not train.

    Raises:
        ConfigError: it is one.
    """
    if model not in _BUILDERS:
        raise ConfigError(
            f"{model} is validated but not trained by this release; models that are: {', '.join(_BUILDERS)}"
        )


def _spectrogram_cnn(spec: ModelSpec) -> Classifier:
    size, architecture = spec.spectrogram_size, _architecture(spec, SpectrogramCnnArchitecture)
    classes = {target: len(labels) for target, labels in spec.targets.items()}
    frontend = Spectrogram(spec.window_samples, size, architecture.scale)
    return Classifier(frontend, CnnHead(architecture.backbone, size, classes, architecture.dropout))


def _architecture(spec: ModelSpec, kind: type[Described]) -> Described:
    """A spec's architecture, checked: a spec also comes from checkpoints."""
    try:
        return kind.model_validate(spec.architecture)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"model_architecture.{where}: {first['msg']}") from error


_BUILDERS: dict[str, Callable[[ModelSpec], Classifier]] = {"SpectrogramCnnClassifier": _spectrogram_cnn}
