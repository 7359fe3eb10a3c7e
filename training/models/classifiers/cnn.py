"""An image network of timm on the features, and one linear layer per target."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import timm
import torch
from torch import Tensor, nn

from emotions.errors import ConfigError, first_line
from training.config.architectures import SpectrogramCnnArchitecture
from training.config.train import ModelSpec
from training.models.base import Classifier, Head, Logits
from training.models.frontends.spectrogram import Spectrogram


class CnnHead(Head):
    """The features as a one-channel image through a timm backbone with fresh weights, then a linear layer per target.

    Args:
        backbone: name of a timm architecture.
        shape: (bins, frames) of the image.
        targets: target -> number of classes.
        dropout: share of the backbone's features that training drops.
    """

    def __init__(self, backbone: str, shape: tuple[int, int], targets: Mapping[str, int], dropout: float) -> None:
        super().__init__()
        self.backbone = _backbone(backbone)
        self.dropout = nn.Dropout(dropout)
        width = _width(self.backbone, backbone, shape)
        self.outputs = nn.ModuleList([nn.Linear(width, classes) for classes in targets.values()])
        self.targets = tuple(targets)

    def forward(self, features: Tensor, frames: Tensor) -> Logits:  # noqa: ARG002 - frames past the end are zero
        """(batch, bins, frames) features in; target -> (batch, classes) logits out."""
        embedding = self.dropout(self.backbone(features.unsqueeze(1)))
        return {target: output(embedding) for target, output in zip(self.targets, self.outputs, strict=True)}


def build_spectrogram_cnn(spec: ModelSpec, architecture: SpectrogramCnnArchitecture) -> Classifier:
    """Build a ``SpectrogramCnnClassifier``."""
    size = spec.spectrogram_size
    with torch.device("cpu"):  # its tables are computed from each other, also where the rest has shapes alone
        frontend = Spectrogram(spec.window_samples, size, architecture.scale, spec.features)
    return Classifier(frontend, CnnHead(architecture.backbone, (size, size), spec.classes, architecture.dropout))


def _backbone(name: str) -> nn.Module:
    # is_model knows architectures alone: create_model would also follow "hf-hub:" and "local-dir:" names.
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(f"model_architecture.backbone: timm has no architecture {name!r}{hint}")
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, in_chans=1)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise ConfigError(f"model_architecture.backbone: {name} takes no one-channel image ({error})") from error
    return model


def _width(model: nn.Module, name: str, shape: tuple[int, int]) -> int:
    """Number of features of the backbone, by a forward pass: timm's ``num_features`` is not always right."""
    model.eval()
    try:
        with torch.no_grad():
            output = model(torch.zeros(1, 1, *shape))
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        reason = first_line(error)
        raise ConfigError(
            f"model_architecture.backbone: {name} does not take images of {shape[0]} x {shape[1]} ({reason}); "
            "choose another backbone or size of the features"
        ) from error
    finally:
        model.train()
    return int(output.shape[1])
