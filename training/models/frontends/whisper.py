"""The Whisper frontend: states of a Whisper encoder over a window's own length, exact in any batch.

Whisper takes 30 s, most of which is silence that stands for nothing, and its encoder has no mask. Here positions are
cut to the window, and attention sees valid frames alone: a window's features are those of transformers for an encoder
whose ``max_source_positions`` are the window's, and cost what it lasts.

Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.audio_utils import mel_filter_bank

from emotions.audio.decode import SAMPLE_RATE
from emotions.errors import ConfigError
from training.models.base import Frontend, weights_hash
from training.models.frontends.encoders import Encoder
from training.models.frontends.hidden_states import Embedding, chosen, depth_of, kept_features, only_last_trains
from training.models.frontends.masks import masked_up_to, standardised
from training.models.frontends.wav2vec2_context import attended

_HOP, _FFT = 160, 400  # 10 and 25 ms
_STEP = 2 * _HOP
"""Samples between two frames of the encoder: 20 ms."""
_FLOOR, _DECADES = 1e-10, 8.0
_AFTER = 3 * _STEP  # zeros behind a window, so that frames which reach over its end are seen whole
_MASKED = -1e4  # finite in fp16 too
_NORMALIZE_EPS = 1e-7
_CONFIG = ("model_type", "d_model", "encoder_attention_heads", "num_mel_bins", "activation_function", "scale_embedding")


class LogMel(nn.Module):
    """Whisper's log mel spectrogram of (batch, samples), zero from each length on: (batch, bands, 2 x frames).

    Floored 8 decades below the window's peak. Equal to ``WhisperFeatureExtractor`` for a clip with zeros behind it.

    Args:
        bands: mel bands.
    """

    basis: Tensor
    bands: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        step = torch.arange(_FFT, dtype=torch.float64)
        turns = torch.remainder(torch.arange(_FFT // 2 + 1, dtype=torch.float64)[:, None] * step, _FFT)
        angle = 2 * math.pi * turns / _FFT
        window = torch.hann_window(_FFT, dtype=torch.float64)
        basis = torch.cat([angle.cos(), angle.sin()]) * window
        filters = mel_filter_bank(_FFT // 2 + 1, bands, 0.0, 8000.0, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
        self.register_buffer("basis", basis.float().unsqueeze(1), persistent=False)
        self.register_buffer("bands", torch.from_numpy(np.ascontiguousarray(filters.T)).float(), persistent=False)

    def forward(self, waveform: Tensor, frames: int) -> Tensor:
        """The first ``2 * frames`` spectra of the waveform."""
        reach = _FFT // 2
        behind = functional.pad(waveform, (0, _AFTER))
        padded = torch.cat([behind[:, 1 : reach + 1].flip(1), behind], dim=1)
        real, imaginary = functional.conv1d(padded.unsqueeze(1), self.basis, stride=_HOP).chunk(2, dim=1)
        power = torch.matmul(self.bands, real * real + imaginary * imaginary)
        decades = power.clamp_min(_FLOOR).log() * (1 / math.log(10))
        floor = decades.amax(dim=(1, 2), keepdim=True) - _DECADES
        return (torch.maximum(decades, floor)[:, :, : 2 * frames] + 4.0) / 4.0


class WhisperFrontend(Frontend):
    """Hidden states of a Whisper encoder, of which only the submodules that the embedding needs are kept.

    The encoder is always in evaluation mode.

    Args:
        encoder: what ``load_encoder`` gives; its modules are taken over.
        window: W, the samples of a window; fewer work too.
        embedding: which features, see ``Embedding``; those of layers are taken before the encoder's last norm.
        freeze: the encoder's weights get no gradient.
        trainable_layers: as for ``Wav2Vec2Frontend``.

    Attributes:
        shape: of a window's features: (dims, frames), or (layers, dims, frames) for ``weighted``.

    Raises:
        ConfigError: the encoder has no such layers, or fewer positions than the window has frames.
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
        source: Any = encoder.model.encoder
        config = source.config
        depth = depth_of(embedding, len(source.layers))
        frames, positions = math.ceil(window / _STEP), config.max_source_positions
        if frames > positions:
            raise ConfigError(
                f"learn_params.padding_sec: at most {positions * _STEP / SAMPLE_RATE:g} s, which is what the encoder "
                f"has positions for; found {window / SAMPLE_RATE:g} s"
            )
        self.embedding, self.window, self.normalize = embedding, window, encoder.normalize
        self.description = encoder.description()
        self.config = {key: getattr(config, key, None) for key in _CONFIG}
        self.mel = LogMel(config.num_mel_bins)
        self.conv1, self.conv2 = source.conv1, source.conv2
        self.positions = nn.Parameter(source.embed_positions.weight[:frames].clone())
        self.layers: nn.ModuleList = source.layers[: depth or 0]
        self.requires_grad_(not freeze and trainable_layers == "all")
        if not freeze and trainable_layers != "all":
            only_last_trains(self.layers, trainable_layers, embedding)
        self.positions.requires_grad_(False)
        self.train()
        self.shape = kept_features(embedding, depth, config.d_model, frames)

    def train(self, mode: bool = True) -> WhisperFrontend:  # noqa: ARG002 - the encoder never trains its dropout
        """Stay in evaluation mode."""
        super().train(False)
        return self

    def settings(self) -> dict[str, Any]:
        """Embedding, window, the encoder's geometry, and a hash of the weights that are kept."""
        own = {"embedding": self.embedding, "window": self.window, "normalize": self.normalize}
        return {"frontend": "whisper", "version": 1, **own, "weights": weights_hash(self), "encoder": self.config}

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Compute embeddings.

        Args:
            waveform: (batch, samples) float32 at 16 kHz.
            length: (batch,) int64, number of valid samples of each window.

        Returns:
            (batch, dims, frames) float32, or (batch, layers, dims, frames) for ``weighted``; zero past the valid
            frames, of 20 ms; and (batch,) int64, number of valid frames.
        """
        if self.normalize:
            waveform = standardised(waveform, length, _NORMALIZE_EPS)
        else:
            waveform = torch.where(masked_up_to(length, waveform.shape[1]), waveform, 0.0)
        steps = (waveform.shape[1] + _STEP - 1) // _STEP
        frames = torch.div(length + (_STEP - 1), _STEP, rounding_mode="floor")
        valid, spectra = masked_up_to(frames, steps), masked_up_to(2 * frames, 2 * steps).unsqueeze(1)
        mel = torch.where(spectra, self.mel(waveform, steps), 0.0)
        hidden = torch.where(spectra, functional.gelu(self.conv1(mel)), 0.0)
        features = functional.gelu(self.conv2(hidden)).transpose(1, 2)
        if self.embedding != "conv":
            features = features + self.positions[:steps]
        mask = torch.where(valid, 0.0, _MASKED)[:, None, None, :]
        states = [features]
        for layer in self.layers:
            states.append(_transformed(layer, states[-1], mask))
        return chosen(states, valid, self.embedding), frames


def _transformed(layer: Any, state: Tensor, mask: Tensor) -> Tensor:
    """One layer of the encoder on (batch, frames, dims), with an additive mask (batch, 1, 1, frames)."""
    state = state + attended(layer.self_attn, layer.self_attn_layer_norm(state), mask, None)
    fed = layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(state))))
    return state + fed  # type: ignore[no-any-return]
