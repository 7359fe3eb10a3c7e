"""Classifiers on the features of AST and Whisper, by a convolution with a Fourier basis instead of FFT operators.

Both are what the feature extractors of transformers compute for a clip alone, for any clip of a batch.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchaudio.compliance import kaldi
from transformers import AttentionInterface

from emotions.audio.decode import SAMPLE_RATE
from training.models.base import Logits
from training.models.frontends.fourier import strided_basis, strided_power
from training.models.frontends.kaldi import kaldi_frame

_FRAME, _HOP = 400, 160  # 25 and 10 ms
_FFT = 512
_LOWEST_HZ = 20.0
_FLOOR = 1e-10
_DECADES = 8.0
_WRITTEN_OUT = "written_out"


class KaldiFilterbank(nn.Module):
    """Kaldi's log mel filterbank, normalised by the mean and deviation of AST's training data.

    Removing the mean of a frame, pre-emphasis, window and transform are linear: they are one basis.

    Args:
        extractor: an ``ASTFeatureExtractor``.

    Attributes:
        samples: of the longest clip, which fills all frames.
    """

    basis: Tensor
    bands: Tensor
    start: Tensor

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.frames: int = extractor.max_length
        self.samples = _FRAME + _HOP * (self.frames - 1)
        self.mean: float = extractor.mean if extractor.do_normalize else 0.0
        self.deviation: float = 2 * extractor.std if extractor.do_normalize else 1.0
        bands, _ = kaldi.get_mel_banks(
            extractor.num_mel_bins, _FFT, float(SAMPLE_RATE), _LOWEST_HZ, 0.0, 100.0, -500.0, 1.0
        )
        self.register_buffer(
            "basis",
            strided_basis(kaldi_frame(torch.hann_window(_FRAME, periodic=False, dtype=torch.float64)), _FFT),
            persistent=False,
        )
        self.register_buffer("bands", functional.pad(bands, (0, 1)), persistent=False)
        self.register_buffer("start", torch.arange(self.frames) * _HOP, persistent=False)

    def forward(self, waveform: Tensor, length: Tensor) -> Tensor:
        """(batch, samples) and (batch,) in; (batch, frames, bins) out.

        Frames past a clip's end are zero before the normalisation.
        """
        power = strided_power(_fitted(waveform, length, self.samples), self.basis, _HOP)
        energy = torch.matmul(self.bands, power).clamp_min(torch.finfo(torch.float32).eps).log()
        whole = self.start + _FRAME <= length.unsqueeze(1)
        energy = torch.where(whole.unsqueeze(1), energy, 0.0).transpose(1, 2)
        return (energy - self.mean) / self.deviation


class WhisperFilterbank(nn.Module):
    """Whisper's log mel spectrogram of a clip that is filled up with zeros, floored 8 decades below its peak.

    Args:
        extractor: a ``WhisperFeatureExtractor``.

    Attributes:
        samples: of the longest clip.
    """

    basis: Tensor
    bands: Tensor

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.samples: int = extractor.n_samples
        self.hop: int = extractor.hop_length
        self.reach: int = extractor.n_fft // 2
        window = torch.hann_window(extractor.n_fft, dtype=torch.float64)
        self.register_buffer("basis", strided_basis(window.diag(), extractor.n_fft), persistent=False)
        bands = torch.from_numpy(extractor.mel_filters).float().T.contiguous()
        self.register_buffer("bands", bands, persistent=False)

    def forward(self, waveform: Tensor, length: Tensor) -> Tensor:
        """(batch, samples) and (batch,) in; (batch, bins, frames) out."""
        inputs = _fitted(waveform, length, self.samples)
        before, after = inputs[:, 1 : self.reach + 1].flip(1), inputs[:, -self.reach - 1 : -1].flip(1)
        power = strided_power(torch.cat([before, inputs, after], dim=1), self.basis, self.hop)[:, :, :-1]
        decades = torch.matmul(self.bands, power).clamp_min(_FLOOR).log() * (1 / math.log(10))
        floor = decades.amax(dim=(1, 2), keepdim=True) - _DECADES
        return (torch.maximum(decades, floor) + 4.0) / 4.0


class SpectralClassifier(nn.Module):
    """A classifier on spectrograms of a fixed length: features in the graph, then the model of transformers as it is.

    It receives zeros after a clip, as in training, so every clip costs as much as the longest.

    Args:
        features: ``waveform (batch, samples), length (batch,) -> what the model takes``.
        source: the model.
        target: what its labels are of.
    """

    def __init__(self, features: KaldiFilterbank | WhisperFilterbank, source: nn.Module, target: str) -> None:
        super().__init__()
        self.features, self.source, self.target = features, source, target

    def forward(self, waveform: Tensor, length: Tensor) -> Logits:
        """(batch, samples) float32 and (batch,) int64 in; target -> (batch, classes) logits out."""
        config: Any = self.source.config
        before, config._attn_implementation = config._attn_implementation, _WRITTEN_OUT
        try:
            answer: Any = self.source(self.features(waveform, length))
        finally:
            config._attn_implementation = before
        return {self.target: answer.logits}


def _attended(_: nn.Module, query: Tensor, key: Tensor, value: Tensor, *__: Any, **named: Any) -> tuple[Tensor, None]:
    """Attention without a mask, on (batch, heads, frames, dims): what the export finds and puts one node in place of.

    Every frame counts. transformers makes a mask all the same for a model that is exported, one of zeros, unless
    attention has a name that it does not know; and torch spells its own attention out otherwise for large models.
    """
    scores = torch.matmul(query * named["scaling"], key.transpose(2, 3))
    return torch.matmul(scores.softmax(dim=-1), value).transpose(1, 2), None


AttentionInterface.register(_WRITTEN_OUT, _attended)


def _fitted(waveform: Tensor, length: Tensor, samples: int) -> Tensor:
    """(batch, any) to (batch, samples): cut or filled up with zeros, and zero past each length."""
    waveform = torch.cat([waveform, waveform.new_zeros(waveform.shape[0], samples)], dim=1)[:, :samples]
    return torch.where(torch.arange(samples, device=length.device) < length.unsqueeze(1), waveform, 0.0)
