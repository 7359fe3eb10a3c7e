"""The functionals frontend: a window as one vector of statistics of its low-level descriptors.

After openSMILE's functionals (Eyben, Woellmer and Schuller, 2010): for small corpora hand-crafted statistics still
outperform learned features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from emotions.audio.decode import SAMPLE_RATE
from training.models.base import Frontend
from training.models.frontends.descriptors import LEVEL, LINKED, Descriptors, Frames
from training.models.frontends.statistics import deltas, links, moments, quantiles, slope, travel

_MIN_SEC = 0.01
_PACE = 5.0  # scales deltas to the size of the descriptors
_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_VOICED_LEVELS = (0.1, 0.5, 0.9)


class Functionals(Frontend):
    """Statistics of descriptors and their deltas over active and over voiced frames.

    Of speech: mean, deviation, skewness, kurtosis, slope, percentiles and their ranges; of its voiced part: mean,
    deviation, slope, percentiles; of both, how descriptors go together; and how much and how often there is speech and
    voice.

    Args:
        window: W, the samples of a window.
        version: of the features, as ``Descriptors`` takes it.

    Attributes:
        dims: number of statistics.
    """

    def __init__(self, window: int, version: int = 2) -> None:
        super().__init__()
        self.window, self.version = window, version
        self.any_length = version > 1  # the first release's pitch is a mean over a whole window's frames
        self.descriptors = Descriptors(window, version)
        with torch.no_grad():
            found, _ = self(torch.zeros(1, window), torch.tensor([window]))
        self.dims = int(found.shape[1])

    def settings(self) -> dict[str, Any]:
        """Name, version and window."""
        return {"frontend": "functionals", "version": self.version, "window": self.window}

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, W or fewer) and (batch,) in; (batch, dims, 1) float32 and (batch,) ones out: one frame a window."""
        frames = self.descriptors(waveform, length)
        change = _PACE * deltas(frames.values) * frames.valid.unsqueeze(2)
        series = torch.cat([frames.values, change], dim=2)
        found = [*_speech(frames, series), *_voice(frames, series), *_links(frames), _rhythm(frames, length)]
        vector = torch.cat(found, dim=1)
        return vector.unsqueeze(2), torch.ones_like(length)


def _speech(frames: Frames, series: Tensor) -> list[Tensor]:
    levels = quantiles(series, frames.active, _LEVELS)
    ranges = [levels[4] - levels[0], levels[3] - levels[1]]
    return [*moments(series, frames.active), *levels, *ranges, slope(frames.values, frames.active)]


def _voice(frames: Frames, series: Tensor) -> list[Tensor]:
    mean, deviation, *_ = moments(series, frames.voiced)
    levels = quantiles(frames.values, frames.voiced, _VOICED_LEVELS)
    return [mean, deviation, *levels, slope(frames.values, frames.voiced)]


def _links(frames: Frames) -> list[Tensor]:
    chosen = torch.stack([frames.values[..., place] for place in LINKED], dim=2)
    return [*links(chosen, frames.active), *links(chosen, frames.voiced)]


def _rhythm(frames: Frames, length: Tensor) -> Tensor:
    """Shares of speech and voice, how often they begin and end a second, log seconds, how much loudness moves."""
    seconds = (length.to(frames.valid.dtype) / SAMPLE_RATE).clamp_min(_MIN_SEC)
    active, voiced = frames.active.sum(dim=1), frames.voiced.sum(dim=1)
    edges = [(each[:, 1:] - each[:, :-1]).abs().sum(dim=1) / seconds for each in (frames.active, frames.voiced)]
    shares = [active / frames.valid.sum(dim=1).clamp_min(1), voiced / active.clamp_min(1)]
    return torch.stack([*shares, *edges, seconds.log(), travel(frames.values[..., LEVEL], frames.active)], dim=1)
