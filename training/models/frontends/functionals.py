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
from training.models.frontends.descriptors import DESCRIPTORS, LEVEL, LINKED, Descriptors, Frames
from training.models.frontends.statistics import (
    Weights,
    deltas,
    links,
    mean_and_deviation,
    moments,
    pairs,
    quantiles,
    slope,
    travel,
    weights_of,
)

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

    linked: Tensor
    pairs: Tensor

    def __init__(self, window: int, version: int = 2) -> None:
        super().__init__()
        self.register_buffer("linked", torch.tensor(LINKED), persistent=False)
        self.register_buffer("pairs", pairs(len(LINKED)), persistent=False)
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
        both = weights_of(torch.stack([frames.active, frames.voiced], dim=1))
        active, voiced = (Weights(*one) for one in zip(both.each.unbind(1), both.total.unbind(1), strict=True))
        change = _PACE * deltas(frames.values) * frames.valid.unsqueeze(2)
        series = torch.cat([frames.values, change], dim=2)
        ordered, order = series.sort(dim=1)
        levels = quantiles(ordered, order, active, _LEVELS)
        ranges = levels[..., 3:, :].flip(1) - levels[..., :2, :]
        voiced_levels = quantiles(ordered[..., :DESCRIPTORS], order[..., :DESCRIPTORS], voiced, _VOICED_LEVELS)
        slopes, voiced_slopes = slope(frames.values.unsqueeze(1), both).unbind(dim=1)
        linked = frames.values.index_select(2, self.linked).unsqueeze(1)
        found = [
            *[*moments(series, active), levels.flatten(1), ranges.flatten(1), slopes],
            *[*mean_and_deviation(series, voiced), voiced_levels.flatten(1), voiced_slopes],
            links(linked, both, self.pairs).flatten(1),
            _rhythm(frames, both, active, length),
        ]
        return torch.cat(found, dim=1).unsqueeze(2), torch.ones_like(length)


def _rhythm(frames: Frames, both: Weights, active: Weights, length: Tensor) -> Tensor:
    """Shares of speech and voice, how often they begin and end a second, log seconds, how much loudness moves."""
    seconds = (length.to(frames.valid.dtype) / SAMPLE_RATE).clamp_min(_MIN_SEC).unsqueeze(1)
    amount = both.each.sum(dim=(2, 3))
    whole = torch.cat([frames.valid.sum(dim=1, keepdim=True), amount[..., :1]], dim=1)
    edges = (both.each[..., 1:, :] - both.each[..., :-1, :]).abs().sum(dim=(2, 3)) / seconds
    loudness = travel(frames.values[..., LEVEL : LEVEL + 1], active)
    return torch.cat([amount / whole.clamp_min(1), edges, seconds.log(), loudness], dim=1)
