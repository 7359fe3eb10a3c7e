"""The spectrogram frontend: a window of W samples as an image of ``size`` log bins by ``size`` frames."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from emotions.audio.decode import SAMPLE_RATE
from training.models.base import Frontend
from training.models.frontends.fourier import Scale, band_edges, filterbank, folded_basis, framed_power

_MIN_FFT = 512
# Frames that are further apart (40 ms) are means of several steps: a single transform as wide as the hop would smear
# what moves within it, and its constants grow with the square of the width.
_MAX_STEP = 640
# By version. Power is held so far below the window's loudest bin, so that digital silence between words looks like a
# quiet room: 60 dB, as 16 bits add noise that is heard further down in recordings of -40 dB; and at a least power, so
# that silence stays finite. Version 1 has 80 dB, and -100 dB of full scale, which is the higher floor of quiet
# recordings: there gain changes the features.
_RANGES = {1: 1e-8, 2: 1e-6}
_FLOORS = {1: 1e-10, 2: 1e-18}
# Log power has a deviation of 2 to 4 in speech; only windows without any contrast are nearer to zero than this.
_MIN_VARIANCE = 1e-2


class Spectrogram(Frontend):
    """Log power spectrogram, normalised to mean 0 and variance 1 over the window's valid frames.

    A frame is the mean power of ``steps`` transforms, ``step`` samples apart; the first one of frame t is centred on
    sample t * hop. Zeros stand before the first and after the last sample.

    Args:
        window: W, the samples of a window.
        size: bins and frames of the image; the hop is W / size, rounded up to whole steps.
        scale: ``mel`` (HTK) or ``linear``: how the triangular bands are spaced from 0 Hz to 8 kHz.
        version: of the features: 1 holds power and lays bands as the first release did.
    """

    cosines: Tensor
    sines: Tensor
    bands: Tensor
    sample: Tensor
    start: Tensor

    def __init__(self, window: int, size: int, scale: Scale, version: int = 2) -> None:
        super().__init__()
        self.window, self.size, self.scale, self.version = window, size, scale, version
        self.steps = math.ceil(window / size / _MAX_STEP)
        self.step = math.ceil(window / size / self.steps)
        self.hop = self.steps * self.step
        edges = band_edges(size, scale)
        self.n_fft = choose_n_fft(edges, self.step) if version == 1 else 2 * max(self.step, _MIN_FFT // 2)
        cosines, sines = folded_basis(self.n_fft)
        bands = filterbank(edges, self.n_fft, reach=0.0 if version == 1 else 1.0)
        constants = {"cosines": cosines, "sines": sines, "bands": bands}
        constants |= {"sample": torch.arange(window), "start": torch.arange(size) * self.hop}
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def settings(self) -> dict[str, Any]:
        """Name, version and geometry."""
        geometry = {"window": self.window, "size": self.size, "step": self.step, "n_fft": self.n_fft}
        return {"frontend": "spectrogram", "version": self.version, "scale": self.scale, **geometry}

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, W) and (batch,) in; (batch, size, size) float32 and (batch,) valid frames out."""
        length = length.unsqueeze(1)
        power = self.power(torch.where(self.sample < length, waveform, 0.0))
        started = self.start < length
        valid = started.to(power.dtype).unsqueeze(1)
        return _normalised(self._log_power(power * valid), valid), started.sum(dim=1)

    def power(self, waveform: Tensor) -> Tensor:
        """(batch, W) samples to (batch, size, size): power in each band, by frame; a full-scale sine gives about 1."""
        power = framed_power(waveform, (self.cosines, self.sines), self.step, self.size * self.steps)
        if self.steps > 1:
            power = power.view(-1, self.size, self.steps, power.shape[2]).mean(dim=2)
        return torch.matmul(power, self.bands).transpose(1, 2)

    def _log_power(self, power: Tensor) -> Tensor:
        """Log of (batch, bins, frames) power over each window's floor: 0 and more, 0 in silence."""
        loudest = power.amax(dim=(1, 2), keepdim=True)
        floor = (loudest * _RANGES[self.version]).clamp_min(_FLOORS[self.version])
        return (power / floor).clamp_min(1.0).log()


def _normalised(features: Tensor, valid: Tensor) -> Tensor:
    """Bring (batch, bins, frames) to mean 0 and variance 1 over ``valid`` frames, (batch, 1, frames); zero others."""
    count = valid.sum(dim=(1, 2), keepdim=True).clamp_min(1) * features.shape[1]
    centred = (features - (features * valid).sum(dim=(1, 2), keepdim=True) / count) * valid
    variance = (centred * centred).sum(dim=(1, 2), keepdim=True) / count
    return centred / variance.clamp_min(_MIN_VARIANCE).sqrt()


def choose_n_fft(edges: Tensor, step: int) -> int:
    """Smallest even n_fft that leaves no band empty and makes neighbouring transforms overlap by half.

    Version 1 only: of 1,024 mel bands a transform has 290 ms, and bands that hardly meet a bin are near-empty.

    Args:
        edges: (bands + 2,) Hz, as ``band_edges`` gives them.
        step: samples between transforms.
    """
    narrowest = float((edges[2:] - edges[:-2]).min())
    needed = math.ceil(SAMPLE_RATE / narrowest) + 1
    return 2 * math.ceil(max(needed, 2 * step, _MIN_FFT) / 2)
