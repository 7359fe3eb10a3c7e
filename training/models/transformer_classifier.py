"""``TransformerClassifier``: the vision transformer of vit-pytorch on a spectrogram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from vit_pytorch import ViT

from emotions.errors import ConfigError
from training.config.architectures import TransformerArchitecture
from training.config.train import ModelSpec, patch_fault
from training.models.base import Classifier, Head, Logits
from training.models.spectrogram import Spectrogram


@dataclass(frozen=True)
class Geometry:
    """A vision transformer's sizes.

    Attributes:
        patch: side of a patch; it divides the image's side.
        depth: transformer blocks.
        heads: attention heads of a block. Each has ``token // heads`` dims, at least 1; where that does not add up to
            a token, the block's output projection brings the heads back to its size.
        token: dims of a token.
        feed_forward: width of the feed-forward layers.
        dropout: share of activations dropped while training.
    """

    patch: int
    depth: int
    heads: int
    token: int
    feed_forward: int
    dropout: float


class TransformerHead(Head):
    """Patches of the features as tokens, transformer blocks, and a linear layer per target on the class token.

    Args:
        size: bins and frames of the image.
        geometry: the transformer's sizes.
        targets: target -> number of classes.

    Raises:
        ValueError: the patch does not divide the image.
    """

    def __init__(self, size: int, geometry: Geometry, targets: Mapping[str, int]) -> None:
        super().__init__()
        if size % geometry.patch:
            raise ValueError(f"patches of {geometry.patch} do not divide an image of {size} x {size}")
        self.tokens: nn.Module = ViT(
            image_size=size,
            patch_size=geometry.patch,
            num_classes=0,  # no output layer: the tokens themselves
            dim=geometry.token,
            depth=geometry.depth,
            heads=geometry.heads,
            dim_head=max(1, geometry.token // geometry.heads),
            mlp_dim=geometry.feed_forward,
            channels=1,
            dropout=geometry.dropout,
            emb_dropout=geometry.dropout,
        )
        self.outputs = nn.ModuleList([nn.Linear(geometry.token, classes) for classes in targets.values()])
        self.targets = tuple(targets)

    def forward(self, features: Tensor, frames: Tensor) -> Logits:  # noqa: ARG002 - frames past the end are zero
        """(batch, size, size) features in; target -> (batch, classes) logits out."""
        summary = self.tokens(features.unsqueeze(1))[:, 0]
        return {target: output(summary) for target, output in zip(self.targets, self.outputs, strict=True)}


def build_transformer(spec: ModelSpec, architecture: TransformerArchitecture) -> Classifier:
    """Build a ``TransformerClassifier``.

    Raises:
        ConfigError: the patch does not divide the spectrogram, or too few patches come of it.
    """
    fault = patch_fault(architecture.patch_transformer_size, spec.spectrogram_size)
    if fault is not None:
        raise ConfigError(f"model_architecture.patch_transformer_size: {architecture.patch_transformer_size} {fault}")
    geometry = Geometry(
        patch=architecture.patch_transformer_size,
        depth=architecture.transformer_depth,
        heads=architecture.transformer_attantion_head_count,
        token=architecture.layer_1_size,
        feed_forward=architecture.layer_2_size,
        dropout=architecture.dropout,
    )
    frontend = Spectrogram(spec.window_samples, spec.spectrogram_size, architecture.scale)
    return Classifier(frontend, TransformerHead(spec.spectrogram_size, geometry, spec.classes))
