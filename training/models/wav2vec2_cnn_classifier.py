"""``Wav2Vec2CnnClassifier``: an image network on embeddings as a one-channel image of dims by frames."""

from __future__ import annotations

from training.config import ModelSpec
from training.models.base import Classifier
from training.models.cnn_classifier import CnnHead
from training.models.layer_weights import weighed
from training.models.wav2vec2 import build_frontend


def build_wav2vec2_cnn(spec: ModelSpec) -> Classifier:
    """Build a ``Wav2Vec2CnnClassifier``; its embedding is the encoder's convolutional features unless chosen.

    Raises:
        ConfigError: the encoder cannot be loaded or lacks the embedding, or timm has no such backbone.
    """
    architecture = spec.architecture
    frontend = build_frontend(spec, "conv")
    classes = {target: len(labels) for target, labels in spec.targets.items()}
    # The size only finds out how wide the backbone's output is: networks for images of any shape are tried on a square.
    head = CnnHead(architecture["backbone"], min(frontend.shape[-2:]), classes, architecture["dropout"])
    return Classifier(frontend, weighed(frontend.shape, head))
