"""The hidden states of an encoder of transformers, for each clip as if it were alone in its batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from emotions.audio.decode import MIN_SAMPLES
from emotions.errors import ConfigError
from export.huggingface.bank_frames import SHORTEST, BankFrames
from export.huggingface.contexts import ConformerContext, SqueezedContext, StackedContext
from training.models.frontends.encoders import WAV2VEC2_BERT, Encoder
from training.models.frontends.masks import masked_up_to
from training.models.frontends.wav2vec2 import Wav2Vec2Frontend
from training.models.frontends.wav2vec2_context import Context

# Zeros after the longest clip of a batch, which masks hide: exporting needs an input that is longer than one frame.
_PADDING = 320
SEW, CONFORMER = "sew", "wav2vec2-conformer"
_CONTEXTS: dict[str, Any] = {"data2vec-audio": StackedContext, CONFORMER: ConformerContext, SEW: SqueezedContext}


class Frames(nn.Module):
    """The hidden states of a wav2vec2-like encoder.

    Args:
        base: ``Wav2Vec2Model`` and its like; its modules are taken over.
        normalize: each clip is brought to mean 0 and variance 1 first.
        window: W, the most samples of a clip.

    Raises:
        ConfigError: the shortest clip that the toolkit accepts has no frame.
    """

    def __init__(self, base: Any, normalize: bool, window: int) -> None:
        super().__init__()
        config = base.config
        # SEW has its projection, and the norm before it, in other places.
        self.frontend = Wav2Vec2Frontend(
            Encoder(base, normalize), window, "conv" if config.model_type == SEW else "projection"
        )
        if int(self.frontend.count_frames(torch.tensor(MIN_SAMPLES))) < 1:
            raise ConfigError(f"a clip of {MIN_SAMPLES} samples is too short for one frame of this encoder")
        self.shortest = shortest_clip(config)
        self.context = _CONTEXTS.get(config.model_type, Context)(base, config.num_hidden_layers)
        # Encoders with stable layer norm end in a norm, which the hidden states do not have.
        ends_in_norm = config.model_type == CONFORMER or getattr(config, "do_stable_layer_norm", False)
        self.norm: Any = base.encoder.layer_norm if ends_in_norm else None

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[list[Tensor], Tensor]:
        """Compute every hidden state.

        Args:
            waveform: (batch, samples) float32 at 16 kHz.
            length: (batch,) int64, number of valid samples of each clip.

        Returns:
            The states, (batch, frames, dims) each, and which frames are valid, (batch, frames) bool.
        """
        waveform = functional.pad(waveform, (0, _PADDING + max(self.shortest - MIN_SAMPLES, 0)))
        if self.shortest > MIN_SAMPLES:
            waveform = torch.where(masked_up_to(length, waveform.shape[1]), waveform, 0.0)
            length = length.clamp_min(self.shortest)
        features, frames = self.frontend(waveform, length)
        valid = masked_up_to(frames, features.shape[2])
        return self.context(features, valid), valid

    def last(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """The last hidden state as transformers gives it, (batch, frames, dims). All else as ``forward``."""
        states, valid = self(waveform, length)
        return (states[-1] if self.norm is None else self.norm(states[-1])), valid


def frames_of(base: Any, normalize: bool, window: int) -> Frames | BankFrames:
    """The hidden states of an encoder of any family. Args and Raises as ``Frames``."""
    return BankFrames(base) if base.config.model_type == WAV2VEC2_BERT else Frames(base, normalize, window)


def shortest_clip(config: Any) -> int:
    """Samples that the original of an encoder needs; shorter clips are filled up with zeros. 0 where all will do.

    Args:
        config: of the encoder; SEW needs as many frames as it squeezes into one, Wav2Vec2-BERT two filter banks.
    """
    if config.model_type != SEW:
        return SHORTEST if config.model_type == WAV2VEC2_BERT else 0
    samples = int(config.squeeze_factor)
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


def mean_of(state: Tensor, valid: Tensor) -> Tensor:
    """The mean over valid frames: (batch, frames, dims) and (batch, frames) in, (batch, dims) out."""
    count = valid.sum(dim=1, keepdim=True).clamp_min(1).to(state.dtype)
    return torch.where(valid.unsqueeze(2), state, 0.0).sum(dim=1) / count
