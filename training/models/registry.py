"""Builds the models that a config can name: a closed table, so that no config names code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from emotions.errors import ConfigError
from training.config.architectures import ARCHITECTURES, Wav2Vec2FnArchitecture
from training.config.train import ModelSpec
from training.models.base import Classifier
from training.models.classifiers.functionals import build_functionals


def build_model(spec: ModelSpec) -> Classifier:
    """Build a model with fresh weights from torch's global generator, in training mode.

    Raises:
        ConfigError: its architecture is impossible, or its encoder cannot be loaded.
    """
    try:  # a spec also comes from checkpoints
        architecture = ARCHITECTURES[spec.model].model_validate(spec.architecture)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"model_architecture.{where}: {first['msg']}") from error
    return _BUILDERS[spec.model](spec, architecture)


def pinned(spec: ModelSpec, model: Classifier) -> ModelSpec:
    """The spec of a built model with the description of its encoder, so that a checkpoint suffices to rebuild it."""
    return spec.model_copy(update={"encoder": model.frontend.description})


def _on_encoder(spec: ModelSpec, architecture: Any) -> Classifier:
    from training.models.classifiers.wav2vec2 import build_fn, build_wav2vec2_cnn  # transformers is slow to import

    fully_connected = isinstance(architecture, Wav2Vec2FnArchitecture)
    return build_fn(spec, architecture) if fully_connected else build_wav2vec2_cnn(spec, architecture)


def _on_spectrogram(spec: ModelSpec, architecture: Any) -> Classifier:
    from training.models.classifiers.cnn import build_spectrogram_cnn  # timm is slow to import

    return build_spectrogram_cnn(spec, architecture)


def _on_patches(spec: ModelSpec, architecture: Any) -> Classifier:
    from training.models.classifiers.transformer import build_transformer  # so is vit_pytorch, with torchvision

    return build_transformer(spec, architecture)


_BUILDERS: dict[str, Callable[[ModelSpec, Any], Classifier]] = {
    "Wav2Vec2FnClassifier": _on_encoder,
    "Wav2Vec2CnnClassifier": _on_encoder,
    "SpectrogramCnnClassifier": _on_spectrogram,
    "TransformerClassifier": _on_patches,
    "FunctionalsClassifier": build_functionals,
}
