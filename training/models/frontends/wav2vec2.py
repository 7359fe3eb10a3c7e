"""The Wav2Vec2 frontend: embeddings of a pre-trained wav2vec2, HuBERT or WavLM encoder, exact in any batch.

In transformers, padding leaks into the features of a padded batch: into the mean and variance
that normalise a clip, into the group norm over time of the first convolution, and into the positional convolution. So
the submodules are run here one by one, with masks: a window's features are those of transformers for its valid samples
alone.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from emotions.errors import ConfigError
from training.models.base import Frontend, weights_hash
from training.models.frontends.encoders import Encoder
from training.models.frontends.hidden_states import Embedding, chosen, depth_of, kept_features, only_last_trains
from training.models.frontends.masks import masked_up_to, standardised
from training.models.frontends.wav2vec2_context import Context

_NORMALIZE_EPS = 1e-7  # Wav2Vec2FeatureExtractor's
# Settings that the features depend on apart from the weights.
_CONFIG = (
    "model_type", "conv_stride", "feat_extract_norm", "feat_extract_activation", "layer_norm_eps", "hidden_act",
    "num_attention_heads", "do_stable_layer_norm", "num_buckets", "max_bucket_distance",
)  # fmt: skip


class Wav2Vec2Frontend(Frontend):
    """Embeddings of an encoder, of which only the submodules that the embedding needs are kept.

    The encoder is always in evaluation mode: no dropout, no layer drop, no masking of frames.

    Args:
        encoder: what ``load_encoder`` gives; its modules are taken over.
        window: W, the samples of a window; any other number of samples works too, but heads are built for this one.
        embedding: which features, see ``Embedding``.
        freeze: the encoder's weights get no gradient.
        trainable_layers: of an encoder that is not frozen, only so many of its last transformer layers get one, or
            ``all`` of the encoder.

    Attributes:
        shape: of a window's features: (dims, frames), or (layers, dims, frames) for ``weighted``.

    Raises:
        ConfigError: the encoder has no such layers, or a window is too short for a single frame.
    """

    is_encoder = True

    def __init__(
        self,
        encoder: Encoder,
        window: int,
        embedding: Embedding,
        *,
        freeze: bool = True,
        trainable_layers: Literal["all"] | int = "all",
    ) -> None:
        super().__init__()
        source: Any = encoder.model
        depth = depth_of(embedding, len(source.encoder.layers))
        self.embedding, self.window, self.normalize = embedding, window, encoder.normalize
        self.description = encoder.description()
        self.config = {key: getattr(source.config, key, None) for key in _CONFIG}
        self.convolutions: Any = source.feature_extractor.conv_layers
        self.projection: Any = None if embedding == "conv" else source.feature_projection
        self.context: Any = None if depth is None else Context(source, depth)
        self.requires_grad_(not freeze and trainable_layers == "all")
        if not freeze and trainable_layers != "all":
            layers = nn.ModuleList() if self.context is None else self.context.layers
            only_last_trains(layers, trainable_layers, embedding)
        self.train()
        self.shape = self._shape(source.config, depth)

    def _shape(self, config: Any, depth: int | None) -> tuple[int, ...]:
        frames = int(self.count_frames(torch.tensor(self.window, device="cpu")))
        if frames < 1:
            raise ConfigError(
                f"learn_params.padding_sec: {self.window} samples are too few for one frame of the encoder"
            )
        dims = config.conv_dim[-1] if self.embedding == "conv" else config.hidden_size
        return kept_features(embedding=self.embedding, depth=depth, dims=dims, frames=frames)

    def train(self, mode: bool = True) -> Wav2Vec2Frontend:  # noqa: ARG002 - the encoder never trains its dropout
        """Stay in evaluation mode."""
        super().train(False)
        return self

    def settings(self) -> dict[str, Any]:
        """Embedding, window, the encoder's geometry, and a hash of the weights that are kept."""
        weights = weights_hash(self)
        own = {"embedding": self.embedding, "window": self.window, "normalize": self.normalize, "weights": weights}
        return {"frontend": "wav2vec2", "version": 1, **own, "encoder": self.config}

    def count_frames(self, length: Tensor) -> Tensor:
        """Frames of so many samples, the same shape, int64, 0 where there are too few."""
        for layer in self.convolutions:
            length = _convolved(layer, length)
        return length

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Compute embeddings.

        Args:
            waveform: (batch, samples) float32 at 16 kHz.
            length: (batch,) int64, number of valid samples of each window.

        Returns:
            (batch, dims, frames) float32, or (batch, layers, dims, frames) for ``weighted``; zero past the valid
            frames; and (batch,) int64, number of valid frames.
        """
        if self.normalize:
            waveform = standardised(waveform, length, _NORMALIZE_EPS)
        else:
            waveform = torch.where(masked_up_to(length, waveform.shape[1]), waveform, 0.0)
        features, frames = self._convolve(waveform.unsqueeze(1), length)
        valid = masked_up_to(frames, features.shape[2])
        if self.projection is not None:
            projected = self.projection(features.transpose(1, 2))
            # HuBERT gives the projection alone, the others a pair with the normalised features.
            features = (projected[0] if isinstance(projected, tuple) else projected).transpose(1, 2)
        features = torch.where(valid.unsqueeze(1), features, 0.0)
        if self.context is not None:
            features = chosen(self.context(features, valid), valid, self.embedding)
        return features, frames

    def _convolve(self, features: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.convolutions:
            features, length = layer.conv(features), _convolved(layer, length)
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):  # one group a channel: it normalises over time
                features = standardised(features, length.unsqueeze(1), norm.eps)
                features = features * norm.weight.unsqueeze(1) + norm.bias.unsqueeze(1)
            elif norm is not None:
                features = norm(features.transpose(1, 2)).transpose(1, 2)
            features = layer.activation(features)
        return features, length


def _convolved(layer: Any, length: Tensor) -> Tensor:
    """Valid steps after a convolution without padding, of valid steps before it."""
    (kernel,), (stride,) = layer.conv.kernel_size, layer.conv.stride
    return torch.div((length - kernel + stride).clamp_min(0), stride, rounding_mode="floor")
