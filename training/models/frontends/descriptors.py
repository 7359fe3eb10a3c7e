"""Low-level descriptors of speech, every 10 ms.

Cepstrum, loudness, spectral shape, pitch and voicing, after the sets of openSMILE (Eyben et al., "The Geneva
Minimalistic Acoustic Parameter Set", 2016). Speech, pauses and voicing are weights, not thresholds: a value near
a threshold might fall on different sides of it in two runtimes, and change the result.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from emotions.audio.decode import SAMPLE_RATE
from training.models.frontends.fourier import band_edges, bin_hz, filterbank, folded_basis, framed_power
from training.models.frontends.mean_pitch import MeanPitch
from training.models.frontends.pitch import BLOCK, PitchTracker

HOP = 160
"""Samples between frames: 10 ms."""
MELS, CEPSTRA, SHAPES, SLOPES = 32, 16, 9, 4
PITCH = ("voicing", "harmonicity", "pitch")
DESCRIPTORS = CEPSTRA + 1 + SHAPES + SLOPES + len(PITCH)
"""Values of a frame: cepstrum, loudness, shapes of the spectrum, slopes between its bands, pitch."""
LEVEL = CEPSTRA
"""Index of loudness."""
LINKED = (*range(12), LEVEL, LEVEL + 1, DESCRIPTORS - 3, DESCRIPTORS - 1)
"""Descriptors whose correlations are functionals: twelve of the cepstrum, loudness, centroid, voicing, pitch."""

_CEPSTRUM_UNITS = (8.0, 5.0, 4.0, 3.0, *(2.0,) * 4, *(1.5,) * 8)
_WIDTH, _FFT = 512, 1024  # 32 ms, zero-padded so that the autocorrelation of a frame does not wrap around
# Bands and levels are held at 70 dB below the window's loudest frame: gain changes nothing, digital silence is finite.
_RANGE = 1e-7
_QUIET = 1e-9
_MIN_SPREAD = 1e-6
# Bins below 2 kHz, and from 2 to 5 kHz.
_HAMMARBERG = (slice(0, 128), slice(128, 320))
AFTER = 5 * HOP
"""Samples behind a window that the spectra, differences and smoothing of its last frames see."""
BLOCK_SAMPLES = BLOCK * HOP
"""Samples that the pitch tracker takes at a time."""
_MANY = 1 << 20  # more blocks than a window has
_STEPS = 64  # of 125 Hz, on which roll-offs are looked for
_ROLLED, _ROLLED_SOFT = (0.25, 0.5, 0.75, 0.9), 0.03  # shares of the power below a roll-off
# About one deviation of each in speech, so that small values are equally small for all: cepstrum; loudness in dB;
# centroid and spread in kHz, roll-offs; entropy, flatness, flux; slopes; voicing, its log odds, semitones.
_UNITS = (*_CEPSTRUM_UNITS, 8.0, 1.0, 0.5, *(0.2,) * 4, 1.0, 1.0, 0.2, *(3.0,) * 4, 0.2, 0.6, 6.0)
_ACTIVE_DB, _ACTIVE_SOFT_DB = -30.0, 2.0
_NEVER = 1e-3


class Frames(NamedTuple):
    """Descriptors of a window's frames.

    Attributes:
        values: (batch, frames, DESCRIPTORS) float32, each in a unit in which speech has a deviation of about 1.
        active: (batch, frames) float32 from 0 to 1: how much a frame is speech, by its level.
        voiced: (batch, frames) float32 from 0 to 1: how much it is voiced speech.
        valid: (batch, frames) float32, 1 before the window's length and 0 after it.
    """

    values: Tensor
    active: Tensor
    voiced: Tensor
    valid: Tensor


class Descriptors(nn.Module):
    """Descriptors of windows.

    Args:
        window: samples of a window.
        version: of the features: 1 tracks pitch as the first release did.

    Attributes:
        pads: whether shorter windows get the zeros of ``samples_for``; an exporter that gives these clears it.
    """

    cosines: Tensor
    sines: Tensor
    sums: Tensor
    dct: Tensor
    units: Tensor
    rolled: Tensor
    sample: Tensor
    start: Tensor

    def __init__(self, window: int, version: int = 2) -> None:
        super().__init__()
        self.pads = True
        self.pitch = PitchTracker(_WIDTH, _FFT) if version > 1 else MeanPitch(_WIDTH, _FFT)
        self.window, count = window, math.ceil(window / HOP)
        cosines, sines = folded_basis(_FFT, _WIDTH)
        parts = [filterbank(band_edges(MELS, "mel"), _FFT), *_sums()]
        self.parts = [part.shape[1] for part in parts]
        constants = {
            "cosines": cosines,
            "sines": sines,
            "sums": torch.cat(parts, dim=1),
            "dct": _dct(),
            "units": torch.tensor(_UNITS),
            "rolled": torch.tensor(_ROLLED)[:, None],
            "sample": torch.arange(window),
            "start": torch.arange(count) * HOP,
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, waveform: Tensor, length: Tensor) -> Frames:
        """(batch, W or fewer) float32 samples and (batch,) int64 in; samples past ``length`` are ignored."""
        length = length.unsqueeze(1)
        samples = self.samples_for(waveform.shape[1]) if self.pads else waveform.shape[1]
        count = (samples + HOP - 1) // HOP
        waveform = functional.pad(waveform, (0, samples - waveform.shape[1]))
        waveform = torch.where(self.sample[:samples] < length, waveform, 0.0)
        valid = (self.start[:count] < length).to(waveform.dtype)
        power = framed_power(waveform, (self.cosines, self.sines), HOP, count) * valid.unsqueeze(2)
        # One matrix product for all sums over bins, which take most of the time.
        bands, upto, momenta, ranges = torch.split(torch.matmul(power, self.sums), self.parts, dim=2)
        energy = bands.sum(dim=2)
        peak = energy.amax(dim=1, keepdim=True).clamp_min(_QUIET)
        level = 10 * torch.log10((energy / peak).clamp_min(_RANGE))
        mels = (bands / (peak * (_RANGE / MELS)).unsqueeze(2)).clamp_min(1.0).log()
        pitch, voiced = self.pitch(power, peak * (0.1 * _RANGE), valid)
        values = [torch.matmul(mels, self.dct), level.unsqueeze(2), _shapes(upto, momenta, peak, self.rolled)]
        values += [_noise(power, bands, energy, peak), _slopes(ranges, power, peak), pitch]
        active = _weight((level - _ACTIVE_DB) / _ACTIVE_SOFT_DB) * valid
        return Frames(torch.cat(values, dim=2) / self.units, active, voiced * active, valid)

    def samples_for(self, given: int) -> int:
        """Samples of a shorter window with the zeros behind it that its last frames see; whole blocks of the tracker
        less than a window's, so that it cuts the frames as in that. Length costs, and short clips have little.

        In sums and quotients alone: a traced program would take a largest value, or a branch, for a constant.

        Args:
            given: samples of the window.
        """
        blocks = (self.window - given - AFTER + BLOCK_SAMPLES) // BLOCK_SAMPLES
        spare = blocks - (blocks + _MANY - 1) // _MANY  # one block less, and not less than none
        return self.window - spare * BLOCK_SAMPLES


def _weight(odds: Tensor) -> Tensor:
    """A soft decision from 0 to nearly 1; exactly 0 for clear cases, so that silence is the same in every runtime."""
    return (torch.sigmoid(odds) - _NEVER).clamp_min(0.0)


def _shapes(upto: Tensor, momenta: Tensor, peak: Tensor, rolled: Tensor) -> Tensor:
    """Centroid and spread in kHz, four roll-offs as shares of the spectrum: (batch, frames, 6)."""
    whole = upto[..., -1:] + _floor(peak)
    centroid, square = (momenta / whole).unbind(dim=2)
    spread = (square - centroid * centroid).clamp_min(_MIN_SPREAD).sqrt()
    below = (rolled - (upto / whole).unsqueeze(2)) / _ROLLED_SOFT
    return torch.cat([torch.stack([centroid, spread], dim=2), torch.sigmoid(below).mean(dim=3)], dim=2)


def _noise(power: Tensor, bands: Tensor, energy: Tensor, peak: Tensor) -> Tensor:
    """Entropy in nats, flatness, flux: (batch, frames, 3)."""
    floor = _floor(peak)
    share = power / (power.sum(dim=2, keepdim=True) + floor)
    entropy = -(share * (share + 1e-6).log()).sum(dim=2)
    flatness = (bands + floor).log().mean(dim=2) - (bands + floor).mean(dim=2).log()
    outline = (bands / (energy.unsqueeze(2) + floor)).sqrt()
    change = outline[..., 1:, :] - outline[..., :-1, :]
    flux = functional.pad((change * change).sum(dim=2), (1, 0))
    return torch.stack([entropy, flatness, flux], dim=2)


def _slopes(ranges: Tensor, power: Tensor, peak: Tensor) -> Tensor:
    """Log ratios: alpha ratio, first to third formant region, high to low, and the Hammarberg index."""
    floor = (peak * (1e-3 * _RANGE)).unsqueeze(2)
    low, mid, first, third, high, rest = (ranges + floor).log().unbind(dim=2)
    below, above = ((power[..., part].amax(dim=2, keepdim=True) + floor).log().squeeze(2) for part in _HAMMARBERG)
    return torch.stack([low - mid, first - third, high - rest, below - above], dim=2)


def _floor(peak: Tensor) -> Tensor:
    """Negligible power, relative to the peak: (batch, 1, 1)."""
    return (peak * (0.1 * _RANGE)).unsqueeze(2)


def _sums() -> list[Tensor]:
    """Matrices from power to cumulative power below each step, to its moments in kHz, and to power in ranges of Hz.

    (bins, _STEPS), (bins, 2) and (bins, 6) float32. Ranges: 50 to 1000, 1000 to 5000, 250 to 650, 1000 to 4000, from
    4000, below 4000.
    """
    hz = bin_hz(_FFT)
    upto = torch.arange(1, _STEPS + 1, dtype=torch.float64) * (SAMPLE_RATE / 2 / _STEPS)
    momenta = torch.stack([hz / 1000, (hz / 1000) ** 2], dim=1)
    edges = ((50, 1000), (1000, 5000), (250, 650), (1000, 4000), (4000, 9000), (0, 4000))
    ranges = torch.stack([(hz >= low) & (hz < high) for low, high in edges], dim=1)
    return [(hz[:, None] <= upto).float(), momenta.float(), ranges.float()]


def _dct() -> Tensor:
    """From log mel bands to cepstrum, without its zeroth coefficient: (MELS, CEPSTRA) float32."""
    band = torch.arange(MELS, dtype=torch.float64)[:, None] + 0.5
    order = torch.arange(1, CEPSTRA + 1, dtype=torch.float64)
    return (torch.cos(math.pi / MELS * band * order) * math.sqrt(2 / MELS)).float()
