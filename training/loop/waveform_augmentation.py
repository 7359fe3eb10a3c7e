"""Augmentation of samples while training: speed, reverberation, noise and gain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchaudio.functional import add_noise, fftconvolve, resample

from emotions.audio.decode import MIN_SAMPLES, ReadOptions
from emotions.audio.decoders.read import read
from emotions.errors import AudioError, ConfigError
from training.config.learning import WaveformAugmentation

_SPEED_STEPS = 100
"""Speeds are rounded to hundredths, to keep the number of resampling filters small."""
_MAX_RESPONSE_SEC = 10.0
_AUDIO = frozenset({".wav", ".flac", ".ogg", ".mp3"})


class WaveformAugmenter:
    """Changes the samples of training windows at random.

    Args:
        settings: range of each change, and the share of the windows that get it.
        root: folder that a relative folder of impulse responses starts from.

    Raises:
        ConfigError: the folder of impulse responses is missing, empty, or holds a file that cannot be used.
    """

    def __init__(self, settings: WaveformAugmentation, root: Path) -> None:
        self.settings = settings
        folder = settings.impulse_responses
        self._responses = None if folder is None else read_responses(root.joinpath(*folder))

    def __call__(self, waveform: Tensor, length: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Change a batch: waveform and length of the changed windows.

        Args:
            waveform: (batch, W) float32, zero past its length.
            length: (batch,) int64, valid samples of each window.
            random: generator on the CPU, so that the device does not change the numbers.
        """
        settings = self.settings
        if settings.speed is not None:
            picked = _picked(settings.speed_probability, waveform, random)
            factors = _drawn(settings.speed, waveform, random)
            waveform, length = _respeeded(waveform, length, torch.where(picked, factors, 1.0))
        if self._responses is not None:
            picked = _picked(settings.reverb_probability, waveform, random)
            echoed = _reverberated(waveform, length, self._responses, random)
            waveform = torch.where(picked[:, None], echoed, waveform)
        if settings.noise_snr_db is not None:
            picked = _picked(settings.noise_probability, waveform, random)
            noise = torch.randn(waveform.shape, generator=random).to(waveform.device)
            noisy = add_noise(waveform, noise, _drawn(settings.noise_snr_db, waveform, random), length)
            waveform = torch.where(picked[:, None] & _valid(waveform, length), noisy, waveform)
        if settings.gain_db is not None:
            picked = _picked(settings.gain_probability, waveform, random)
            decibels = torch.where(picked, _drawn(settings.gain_db, waveform, random), 0.0)
            waveform = waveform * (10 ** (decibels / 20))[:, None]
        return waveform, length


def _picked(probability: float, waveform: Tensor, random: torch.Generator) -> Tensor:
    return (torch.rand(len(waveform), generator=random) < probability).to(waveform.device)


def read_responses(folder: Path) -> Tensor:
    """The impulse responses in a folder, at 16 kHz: (responses, longest) float32, each from its peak on."""
    key = "learn_params.augmentation.waveform.impulse_responses"
    if not folder.is_dir():
        raise ConfigError(f"{key}: {folder} is not a folder")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _AUDIO)
    if not files:
        raise ConfigError(f"{key}: {folder} holds no recording ({', '.join(sorted(_AUDIO))})")
    try:
        responses = [torch.from_numpy(read(path, ReadOptions(max_sec=_MAX_RESPONSE_SEC)).waveform) for path in files]
    except (AudioError, OSError) as error:
        raise ConfigError(f"{key}: a file in {folder} cannot be used ({error})") from error
    if any(not len(each) or not each.isfinite().all() or not each.any() for each in responses):
        raise ConfigError(f"{key}: {folder} holds an impulse response without a sample that is not zero")
    from_peak = [each[int(each.abs().argmax()) :] for each in responses]
    return torch.nn.utils.rnn.pad_sequence(from_peak, batch_first=True)


def _drawn(limits: Sequence[float], waveform: Tensor, random: torch.Generator) -> Tensor:
    low, high = limits
    return (low + (high - low) * torch.rand(len(waveform), generator=random)).to(waveform.device)


def _valid(waveform: Tensor, length: Tensor) -> Tensor:
    return torch.arange(waveform.shape[1], device=waveform.device) < length[:, None]


def _respeeded(waveform: Tensor, length: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Resample each window to its speed and cut it to its width. None gets shorter than ``MIN_SAMPLES``."""
    fastest = (length / MIN_SAMPLES).clamp_min(1.0)
    steps = (torch.minimum(factors, fastest) * _SPEED_STEPS).floor().to(torch.int64)
    waveform, length, width = waveform.clone(), length.clone(), waveform.shape[1]
    for step in sorted({*steps.tolist()} - {_SPEED_STEPS}):
        rows = steps == step
        changed = resample(waveform[rows], step, _SPEED_STEPS)[:, :width]
        waveform[rows] = pad(changed, (0, width - changed.shape[1]))
        length[rows] = (length[rows] * _SPEED_STEPS / step).ceil().to(length.dtype).clamp_max(width)
    return torch.where(_valid(waveform, length), waveform, 0.0), length


def _reverberated(waveform: Tensor, length: Tensor, responses: Tensor, random: torch.Generator) -> Tensor:
    """Convolve each window with a random response, keeping its energy, and cut it to its width."""
    drawn = torch.randint(len(responses), (len(waveform),), generator=random)
    rooms = responses[drawn][:, : waveform.shape[1]].to(waveform.device)
    echoed = fftconvolve(waveform, rooms)[:, : waveform.shape[1]]
    echoed = torch.where(_valid(waveform, length), echoed, 0.0)
    before, after = (each.square().sum(dim=1, keepdim=True) for each in (waveform, echoed))
    return echoed * (before / after.clamp_min(torch.finfo(after.dtype).tiny)).sqrt()
