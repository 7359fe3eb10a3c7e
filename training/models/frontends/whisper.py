"""The Whisper frontend: states of a Whisper encoder over a window's own length, exact in any batch.

Whisper takes 30 s, most of which is silence that stands for nothing, and its encoder has no mask. Here positions are
cut to the window, and attention sees valid frames alone: a window's features are those of transformers for an encoder
whose ``max_source_positions`` are the window's, and cost what it lasts.

Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022.
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.audio_utils import mel_filter_bank

from emotions.audio.decode import SAMPLE_RATE
from emotions.errors import ConfigError
from training.models.frontends.encoder_base import EncoderFrontend
from training.models.frontends.fourier import folded_basis, framed_power
from training.models.frontends.gradient_checkpointing import run_layer
from training.models.frontends.hidden_states import chosen, kept_features
from training.models.frontends.masks import masked_up_to
from training.models.frontends.transformer_stack import MASKED
from training.models.frontends.wav2vec2_context import attended

_HOP, _FFT = 160, 400  # 10 and 25 ms
_SUM = _FFT / 2  # of a Hann window
_BESIDE = 2  # frames that half a frame reaches into, on either side
_STEP = 2 * _HOP
"""Samples between two frames of the encoder: 20 ms."""
_FLOOR, _DECADES = 1e-10, 8.0
_AFTER = 3 * _STEP  # zeros behind a window, so that frames which reach over its end are seen whole


class LogMel(nn.Module):
    """Whisper's log mel spectrogram of (batch, samples), zero from each length on: (batch, bands, 2 x frames).

    Floored 8 decades below the window's peak. Equal to ``WhisperFeatureExtractor`` for a clip with zeros behind it.

    Args:
        bands: mel bands.
    """

    cosines: Tensor
    sines: Tensor
    bands: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        cosines, sines = folded_basis(_FFT)
        filters = mel_filter_bank(_FFT // 2 + 1, bands, 0.0, 8000.0, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
        # Whisper's spectra are not divided by half the window's sum, as those of the basis are.
        basis = {"cosines": cosines * (_SUM / 2), "sines": sines * (_SUM / 2)}
        constants = {**basis, "bands": torch.from_numpy(filters).float()}
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, waveform: Tensor, frames: int) -> Tensor:
        """The first ``2 * frames`` spectra of the waveform."""
        reach, count = _FFT // 2, 2 * frames + _BESIDE
        behind = functional.pad(waveform, (0, _AFTER))
        # The mirrored start stands before the first frame's centre, in whole hops, as frames are cut by hops.
        mirrored = functional.pad(behind[:, 1 : reach + 1].flip(1), (_BESIDE * _HOP - reach, 0))
        padded = torch.cat([mirrored, behind], dim=1)[:, : (count + 2 * _BESIDE) * _HOP]
        spectra = framed_power(padded, (self.cosines, self.sines), _HOP, count + _BESIDE)[:, _BESIDE:]
        power = torch.matmul(spectra, self.bands).transpose(1, 2)
        decades = power.clamp_min(_FLOOR).log() * (1 / math.log(10))
        floor = decades.amax(dim=(1, 2), keepdim=True) - _DECADES
        return (torch.maximum(decades, floor)[:, :, : 2 * frames] + 4.0) / 4.0


class WhisperFrontend(EncoderFrontend):
    """Hidden states of a Whisper encoder, whose positions are cut to the window; fewer samples work too.

    Those of layers are taken before the encoder's last norm.

    Raises:
        ConfigError: the encoder has no such layers, or fewer positions than the window has frames.
    """

    name = "whisper"
    geometry = (
        "model_type", "d_model", "encoder_attention_heads", "num_mel_bins", "activation_function", "scale_embedding",
    )  # fmt: skip

    def _take_over(self, source: Any, depth: int | None) -> nn.ModuleList:
        config, encoder = source.config, source.encoder
        layers: nn.ModuleList = encoder.layers[: depth or 0]
        frames, positions = math.ceil(self.window / _STEP), config.max_source_positions
        if frames > positions:
            raise ConfigError(
                f"learn_params.padding_sec: at most {positions * _STEP / SAMPLE_RATE:g} s, which is what the encoder "
                f"has positions for; found {self.window / SAMPLE_RATE:g} s"
            )
        self.mel = LogMel(config.num_mel_bins)
        self.conv1, self.conv2 = encoder.conv1, encoder.conv2
        self.layers = layers
        self.positions = nn.Parameter(encoder.embed_positions.weight[:frames].clone())
        self.shape = kept_features(self.embedding, depth, config.d_model, frames)
        return layers

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let all weights train, or none; positions are a table of sines, and never do."""
        super().requires_grad_(requires_grad)
        self.positions.requires_grad_(False)
        return self

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Features of each window's valid samples, and how many frames."""
        waveform = self._cleaned(waveform, length)
        steps = (waveform.shape[1] + _STEP - 1) // _STEP
        frames = torch.div(length + (_STEP - 1), _STEP, rounding_mode="floor")
        valid, spectra = masked_up_to(frames, steps), masked_up_to(2 * frames, 2 * steps).unsqueeze(1)
        mel = torch.where(spectra, self.mel(waveform, steps), 0.0)
        hidden = torch.where(spectra, functional.gelu(self.conv1(mel)), 0.0)
        features = functional.gelu(self.conv2(hidden)).transpose(1, 2)
        if self.embedding != "conv":
            features = features + self.positions[:steps]
        mask = torch.where(valid, 0.0, MASKED)[:, None, None, :]
        states = [features]
        for layer in self.layers:
            states.append(run_layer(_transformed, layer, states[-1], mask))
        return chosen(states, valid, self.embedding), frames


def _transformed(layer: Any, state: Tensor, mask: Tensor) -> Tensor:
    """One layer of the encoder on (batch, frames, dims), with an additive mask (batch, 1, 1, frames)."""
    state = state + attended(layer.self_attn, layer.self_attn_layer_norm(state), mask, None)
    fed = layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(state))))
    return state + fed  # type: ignore[no-any-return]
