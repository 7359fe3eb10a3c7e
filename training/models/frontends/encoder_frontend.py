"""The frontend of an encoder that a config names, by its family."""

from __future__ import annotations

from typing import Literal

from training.config.train import ModelSpec
from training.models.frontends.encoder_base import EncoderFrontend
from training.models.frontends.encoders import WAV2VEC2_BERT, WHISPER, blank_encoder, load_encoder
from training.models.frontends.hidden_states import Embedding
from training.models.frontends.wav2vec2 import Wav2Vec2Frontend
from training.models.frontends.wav2vec2_bert import Wav2Vec2BertFrontend
from training.models.frontends.whisper import WhisperFrontend

_FAMILIES: dict[str, type[EncoderFrontend]] = {WHISPER: WhisperFrontend, WAV2VEC2_BERT: Wav2Vec2BertFrontend}


def build_frontend(
    spec: ModelSpec,
    name: str,
    embedding: Embedding,
    *,
    freeze: bool = True,
    trainable_layers: Literal["all"] | int = "all",
) -> EncoderFrontend:
    """Build a spec's frontend.

    The encoder is loaded by its name. A spec of ``registry.pinned`` describes it instead: then it is built with random
    weights, which a checkpoint replaces, and neither the hub nor the encoder's folder is needed.

    Args:
        spec: window and encoder.
        name: of the encoder.
        embedding: which features.
        freeze: the encoder's weights get no gradient.
        trainable_layers: of an encoder that is not frozen, only so many of its last transformer layers get one.
    """
    encoder = load_encoder(name) if spec.encoder is None else blank_encoder(spec.encoder)
    family = _FAMILIES.get(encoder.description()["config"]["model_type"], Wav2Vec2Frontend)
    return family(encoder, spec.window_samples, embedding, freeze=freeze, trainable_layers=trainable_layers)
