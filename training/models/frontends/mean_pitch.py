"""Pitch and voicing of frames as the first release had them: models that were trained on them keep them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from emotions.audio.decode import SAMPLE_RATE

_MIN_LAG, _MAX_LAG = 32, 266  # 500 to 60 Hz
_BINS = 72  # up to 1.1 kHz: harmonics above tell little of the period, and cost most of the work
_OCTAVE_COST = 0.12  # a period has the same autocorrelation as its double: the shorter one is meant
_SHARPNESS = 60.0
_VOICED, _VOICED_SOFT = 0.5, 0.05
_NEVER = 1e-3


class MeanPitch(nn.Module):
    """Voicing, its log odds, and pitch in semitones above 60 Hz, each frame by itself.

    By the autocorrelation of the frame over that of its window (Boersma, 1993), the mean over lags weighted by it.

    Args:
        width: samples of the Hann window.
        n_fft: samples of the transform.
    """

    periods: Tensor
    taper: Tensor
    semitones: Tensor
    cost: Tensor

    def __init__(self, width: int, n_fft: int) -> None:
        super().__init__()
        lags = torch.arange(_MIN_LAG, _MAX_LAG + 1, dtype=torch.float64)
        constants = {
            "periods": _periods(lags, n_fft),
            "taper": _taper(lags, width),
            "semitones": (12 * torch.log2(SAMPLE_RATE / lags / 60)).float(),
            "cost": (_OCTAVE_COST * torch.log2(lags / _MIN_LAG)).float(),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, power: Tensor, floor: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - as others
        """As ``PitchTracker.forward``."""
        correlation = torch.matmul(power[..., :_BINS], self.periods)
        likeness = correlation[..., 1:] / (correlation[..., :1] + floor.unsqueeze(2)) / self.taper
        weight = torch.softmax((likeness - self.cost) * _SHARPNESS, dim=2)
        voicing = (weight * likeness).sum(dim=2).clamp(-0.2, 1.0)
        sure = voicing.clamp(0.01, 0.99)
        odds = torch.log10(sure / (1 - sure))
        voiced = (torch.sigmoid((voicing - _VOICED) / _VOICED_SOFT) - _NEVER).clamp_min(0.0)
        return torch.stack([voicing, odds, torch.matmul(weight, self.semitones)], dim=2), voiced


def _periods(lags: Tensor, n_fft: int) -> Tensor:
    """From power to autocorrelation at lag 0 and at each lag: (_BINS, 1 + lags) float32."""
    bins = torch.arange(_BINS, dtype=torch.float64)[:, None]
    every = torch.cat([torch.zeros(1, dtype=torch.float64), lags])
    cosines = torch.cos(2 * math.pi * torch.remainder(bins * every, n_fft) / n_fft)
    cosines[1:] *= 2
    return cosines.float()


def _taper(lags: Tensor, width: int) -> Tensor:
    """Autocorrelation of the window at each lag over that at lag 0: (lags,) float32."""
    window = torch.hann_window(width, periodic=True, dtype=torch.float64)
    padded = torch.nn.functional.pad(window, (0, width))
    found = torch.stack([(window * padded[int(lag) : int(lag) + width]).sum() for lag in lags])
    return (found / (window * window).sum()).float()
