"""``TransformerClassifier``: the vision transformer of vit-pytorch on a spectrogram."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from vit_pytorch import ViT

from emotions.errors import ConfigError
from training.config.architectures import TransformerArchitecture
from training.config.train import ModelSpec, patch_fault
from training.models.base import Classifier, Head, Logits
from training.models.frontends.spectrogram import Spectrogram


class TransformerHead(Head):
    """Patches of the features as tokens, transformer blocks, and a linear layer per target on the class token.

    Args:
        size: bins and frames of the image.
        architecture: the transformer's sizes and dropout. A head has ``token // heads`` dims, at least 1; where they do
            not add up to a token, the block's output projection restores its size.
        targets: target -> number of classes.

    Raises:
        ValueError: the patch does not divide the image.
    """

    def __init__(self, size: int, architecture: TransformerArchitecture, targets: Mapping[str, int]) -> None:
        super().__init__()
        patch, token, heads = (
            architecture.patch_transformer_size,
            architecture.layer_1_size,
            architecture.transformer_attantion_head_count,
        )
        if size % patch:
            raise ValueError(f"patches of {patch} do not divide an image of {size} x {size}")
        self.tokens: nn.Module = ViT(
            image_size=size,
            patch_size=patch,
            num_classes=0,  # no output layer: the tokens themselves
            dim=token,
            depth=architecture.transformer_depth,
            heads=heads,
            dim_head=max(1, token // heads),
            mlp_dim=architecture.layer_2_size,
            channels=1,
            dropout=architecture.dropout,
            emb_dropout=architecture.dropout,
        )
        self.outputs = nn.ModuleList([nn.Linear(token, classes) for classes in targets.values()])
        self.targets = tuple(targets)

    def forward(self, features: Tensor, frames: Tensor) -> Logits:  # noqa: ARG002 - frames past the end are zero
        """(batch, size, size) features in; target -> (batch, classes) logits out."""
        summary = self.tokens(features.unsqueeze(1))[:, 0]
        return {target: output(summary) for target, output in zip(self.targets, self.outputs, strict=True)}


def build_transformer(spec: ModelSpec, architecture: TransformerArchitecture) -> Classifier:
    """Build a ``TransformerClassifier``."""
    fault = patch_fault(architecture.patch_transformer_size, spec.spectrogram_size)
    if fault is not None:
        raise ConfigError(f"model_architecture.patch_transformer_size: {architecture.patch_transformer_size} {fault}")
    with torch.device("cpu"):  # its tables are computed from each other, also where the rest has shapes alone
        frontend = Spectrogram(spec.window_samples, spec.spectrogram_size, architecture.scale, spec.features)
    return Classifier(frontend, TransformerHead(spec.spectrogram_size, architecture, spec.classes))
