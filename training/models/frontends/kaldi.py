"""Kaldi's log mel filter banks, as Wav2Vec2-BERT takes them."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.audio_utils import mel_filter_bank

from emotions.audio.decode import SAMPLE_RATE
from training.models.frontends.fourier import strided_basis, strided_power
from training.models.frontends.masks import centred, standardised

_FRAME, _HOP = 400, 160  # 25 and 10 ms
_FFT = 512
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_POVEY = 0.85
_FULL_SCALE = 2.0**15
_FLOOR = float(np.finfo(np.float32).eps)
_NORMALIZE_EPS = 1e-7
STACKED = 2
"""Filter banks that make one frame."""
_MIN_SAMPLES = _FRAME + (STACKED - 1) * _HOP


def kaldi_frame(window: Tensor) -> Tensor:
    """What Kaldi does to a frame before its transform, which is linear: removes its mean, emphasises, weighs.

    Args:
        window: (samples,) float64.

    Returns:
        (samples, samples) float64.
    """
    one = torch.eye(len(window), dtype=torch.float64)
    emphasised = one - _PREEMPHASIS * torch.diag(torch.ones(len(window) - 1, dtype=torch.float64), -1)
    emphasised[0, 0] -= _PREEMPHASIS
    return window.unsqueeze(1) * (emphasised @ (one - 1 / len(window)))


def count_frames(samples: int) -> int:
    """Frames of a ``StackedFilterbank`` in so many samples."""
    return max(0, (samples - _FRAME + _HOP) // _HOP) // STACKED


class StackedFilterbank(nn.Module):
    """Log mel filter banks, each band normalised over a window, two of them side by side as one frame of 20 ms.

    Equal to ``SeamlessM4TFeatureExtractor`` for a window's valid samples alone: 25 ms every 10 ms, only where they are
    whole, without their mean, with Povey's window.

    Args:
        bands: mel bands.
    """

    basis: Tensor
    bands: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        window = torch.hann_window(_FRAME, periodic=False, dtype=torch.float64) ** _POVEY
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bands without a bin, which are constant, and normalised to 0
            filters = mel_filter_bank(
                _FFT // 2 + 1, bands, _LOWEST_HZ, SAMPLE_RATE / 2, SAMPLE_RATE,
                mel_scale="kaldi", triangularize_in_mel_space=True,
            )  # fmt: skip
        self.register_buffer("basis", strided_basis(_FULL_SCALE * kaldi_frame(window), _FFT), persistent=False)
        self.register_buffer("bands", torch.from_numpy(np.ascontiguousarray(filters.T)).float(), persistent=False)

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the frames.

        Args:
            waveform: (batch, samples) float32 at 16 kHz.
            length: (batch,) int64, number of valid samples.

        Returns:
            (batch, frames, 2 * bands) float32 and (batch,) int64, number of valid frames.
        """
        more = _MIN_SAMPLES - waveform.shape[1]
        waveform = functional.pad(waveform, (0, more)) if more > 0 else waveform
        # A constant has no influence on frames without their mean; without it their rounding is that of the sound.
        power = strided_power(centred(waveform, length), self.basis, _HOP)
        energy = torch.matmul(self.bands, power).clamp_min(_FLOOR).log()
        whole = torch.div((length - _FRAME + _HOP).clamp_min(0), _HOP, rounding_mode="floor")
        energy = standardised(energy, whole.unsqueeze(1), _NORMALIZE_EPS, lost=1)
        steps = energy.shape[2] // STACKED
        pairs = torch.unflatten(energy[:, :, : STACKED * steps].transpose(1, 2), 1, (steps, STACKED))
        return pairs.flatten(2), torch.div(whole, STACKED, rounding_mode="floor")
