"""``Wav2Vec2CnnClassifier``: an image network on embeddings as a one-channel image of dims by frames."""

from __future__ import annotations

from training.config.architectures import Wav2Vec2CnnArchitecture
from training.config.train import ModelSpec
from training.models.base import Classifier
from training.models.cnn_classifier import CnnHead
from training.models.layer_weights import weighed
from training.models.wav2vec2 import build_frontend


def build_wav2vec2_cnn(spec: ModelSpec, architecture: Wav2Vec2CnnArchitecture) -> Classifier:
    """Build a ``Wav2Vec2CnnClassifier``.

    Raises:
        ConfigError: the encoder cannot be loaded or lacks the embedding, or timm has no such backbone.
    """
    frontend = build_frontend(spec, architecture, architecture.embedding)
    *_, dims, frames = frontend.shape
    head = CnnHead(architecture.backbone, (dims, frames), spec.classes, architecture.dropout)
    return Classifier(frontend, weighed(frontend.shape, head))
