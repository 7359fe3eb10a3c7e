"""Pitch and voicing of frames: the periods that an autocorrelation offers, and the likely path through them.

A period is told from its double, and from noise, by its neighbours in time: a hidden Markov model has a state for each
pitch and one for unvoiced frames, as pYIN has (Mauch and Dixon, ICASSP 2014), and the forward-backward algorithm gives
each state's probability in each frame. No path is chosen: where two are nearly as likely, runtimes could choose
differently.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from emotions.audio.decode import SAMPLE_RATE

LOWEST_HZ = 60.0

_HIGHEST_HZ = 1050.0
_STATES_OF_AN_OCTAVE = 24
_FIRST_BIN, _BINS = 2, 72  # from 31 Hz, below which there is hum, to 1.1 kHz
_HUM = 1e-2  # of the power below, which counts as noise: what is far weaker is rounding
_FADE_HZ = 500.0  # of two harmonics, the lower one tells more: pitch changes within a frame blur the higher one more
_SMOOTHING = (1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9)  # over frames: noise has chance likenesses that do not last
_FINE = 2000  # lags on which the mean up to a lag is summed
_LEAST_DIFFERENCE = 0.05
_OCTAVE_COST = 0.03  # two periods are as alike as one: the shorter is meant
_UNVOICED = 0.45  # likeness, above which a frame is rather voiced
_LEAST_LIKENESS = -0.5
_CERTAINTY = 8.0  # log odds of a likeness of 1 against 0; frames overlap, so that each alone counts for little
# Of the path: semitones that pitch moves in 10 ms, leaps, voicing that begins or ends.
_MOVE, _LEAP, _SWITCH = 0.5, 1e-4, 0.02
BLOCK = 16
"""Frames that the tracker takes at a time, from both ends of a window."""
_APPROACH = 8  # frames before them
_NEGLIGIBLE = 1e-8
_NEVER = 1e-3


class PitchTracker(nn.Module):
    """Voicing, its log odds, and pitch in semitones above 60 Hz, of power spectra 10 ms apart.

    The likeness of a frame and itself a period later is YIN's (de Cheveigne and Kawahara, 2002), so that the slope of
    the autocorrelation beside lag 0 is no period, by the autocorrelation over that of the window (Boersma, 1993).

    Args:
        width: samples of the Hann window.
        n_fft: samples of the transform.
    """

    periods: Tensor
    means: Tensor
    cost: Tensor
    moves: Tensor
    semitones: Tensor

    def __init__(self, width: int, n_fft: int) -> None:
        super().__init__()
        octaves = torch.arange(_states(), dtype=torch.float64) / _STATES_OF_AN_OCTAVE
        lags = SAMPLE_RATE / (LOWEST_HZ * 2**octaves)
        periods, means = _matrices(lags, width, n_fft)
        constants = {
            "periods": periods,
            "means": means,
            "cost": (_OCTAVE_COST * (octaves[-1] - octaves)).float(),
            "moves": _moves(),
            "semitones": (12 * octaves).float(),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, power: Tensor, floor: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Track a window's pitch.

        Args:
            power: (batch, frames, bins), 0 in frames that are not valid.
            floor: (batch, 1), negligible power.
            valid: (batch, frames), 1 or 0.

        Returns:
            (batch, frames, 3): likeness of the periods, its log odds, semitones; and (batch, frames): the probability
            that a frame is voiced, 0 where that is nearly so.
        """
        smooth = _smoothed(power[..., :_BINS])
        hum = _HUM * smooth[..., :_FIRST_BIN].sum(dim=2, keepdim=True)
        alike, likeness = self._likeness(smooth, floor.unsqueeze(2) + hum)
        posterior = self._posterior(_evidence(likeness - self.cost, valid))
        pitches = posterior[..., :-1]
        voiced = pitches.sum(dim=2)
        pitches = pitches / voiced.clamp_min(_NEGLIGIBLE).unsqueeze(2)
        voicing = (pitches * alike).sum(dim=2).clamp(-0.2, 1.0)
        sure = voicing.clamp(0.01, 0.99)
        values = [voicing, torch.log10(sure / (1 - sure)), torch.matmul(pitches, self.semitones)]
        return torch.stack(values, dim=2), (voiced - _NEVER).clamp_min(0.0)

    def _likeness(self, power: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised autocorrelation at each period, and 1 less YIN's difference: (batch, frames, periods) each."""
        # Differences, not correlations: 1 less what is nearly 1 would be rounding, in which runtimes differ.
        found = torch.matmul(power, self.periods)
        whole = found[..., :1] + floor
        unlike = (found[..., 1:] + floor) / whole
        mean = (torch.matmul(power, self.means) + floor) / whole
        return 1 - unlike, 1 - unlike / mean.clamp_min(_LEAST_DIFFERENCE)

    def _posterior(self, evidence: Tensor) -> Tensor:
        """Probabilities of the states given all frames: (batch, frames, states) in and out.

        Blocks of frames go side by side, each from some frames before it: what is further away decides nothing, and
        few steps take less time than many.
        """
        count = evidence.shape[1]
        blocks = (count + BLOCK - 1) // BLOCK
        both = torch.stack([evidence, evidence.flip(1)])
        padded = functional.pad(both, (0, 0, _APPROACH, blocks * BLOCK - count), value=1.0)
        expected, kept = torch.ones_like(padded[:, :, ::BLOCK][:, :, :blocks]), []
        for step in range(_APPROACH + BLOCK):
            if step >= _APPROACH:
                kept.append(expected)
            seen = expected * padded[:, :, step : step + (blocks - 1) * BLOCK + 1 : BLOCK]
            expected = torch.matmul(seen / seen.sum(dim=3, keepdim=True), self.moves)
        ahead, back = torch.stack(kept, dim=3).flatten(2, 3)[:, :, :count].unbind(0)
        likely = ahead * evidence * back.flip(1)
        return likely / likely.sum(dim=2, keepdim=True)


def _smoothed(power: Tensor) -> Tensor:
    """Weighted mean over neighbouring frames: (batch, frames, bins) in and out."""
    reach, count = len(_SMOOTHING) // 2, power.shape[1]
    padded = functional.pad(power, (0, 0, reach, reach))
    shifted = [share * padded[:, start : start + count] for start, share in enumerate(_SMOOTHING)]
    return torch.stack(shifted).sum(dim=0)


def _evidence(likeness: Tensor, valid: Tensor) -> Tensor:
    """How much each frame speaks for each state, the last one unvoiced, from 0 to 1: (batch, frames, states)."""
    states = functional.pad(likeness.clamp(_LEAST_LIKENESS, 1.0), (0, 1), value=_UNVOICED)
    return torch.exp(_CERTAINTY * (states - states.amax(dim=2, keepdim=True)) * valid.unsqueeze(2))


def _states() -> int:
    return math.floor(_STATES_OF_AN_OCTAVE * math.log2(_HIGHEST_HZ / LOWEST_HZ)) + 1


def _moves() -> Tensor:
    """Weights of moves between pitches, and to and from unvoiced: (states + 1, states + 1) float32, symmetric."""
    count = _states()
    place = torch.arange(count, dtype=torch.float64) * (12 / _STATES_OF_AN_OCTAVE)
    near = torch.exp(-(place[:, None] - place).abs() / _MOVE)
    near = near / near.sum(dim=1).max() * (1 - _LEAP) + _LEAP / count
    moves = torch.full((count + 1, count + 1), _SWITCH / count**0.5, dtype=torch.float64)
    moves[:count, :count] = near * (1 - _SWITCH)
    moves[count, count] = 1 - _SWITCH
    return moves.float()


def _matrices(lags: Tensor, width: int, n_fft: int) -> tuple[Tensor, Tensor]:
    """From power to that at lag 0 and what each lag's autocorrelation lacks of it, and to its mean up to each lag.

    (_BINS, 1 + lags) and (_BINS, lags) float32.
    """
    fine = torch.arange(1, _FINE + 1, dtype=torch.float64) * (float(lags.max()) / _FINE)
    weight = _bin_weights(n_fft)[:, None]
    means = (weight * (1 - _cosines(fine, n_fft) / _taper(fine, width))).cumsum(dim=1) / torch.arange(1, _FINE + 1)
    nearest = (lags / lags.max() * _FINE).round().long() - 1
    periods = torch.cat([weight, weight * (1 - _cosines(lags, n_fft) / _taper(lags, width))], dim=1)
    return periods.float(), means[:, nearest].float()


def _bin_weights(n_fft: int) -> Tensor:
    """Share of each bin in the autocorrelation: (_BINS,) float64."""
    place = torch.arange(_BINS, dtype=torch.float64)
    return torch.exp(-place * (SAMPLE_RATE / n_fft / _FADE_HZ)) * (place >= _FIRST_BIN)


def _cosines(lags: Tensor, n_fft: int) -> Tensor:
    return torch.cos(2 * math.pi / n_fft * torch.arange(_BINS, dtype=torch.float64)[:, None] * lags)


def _taper(lags: Tensor, width: int) -> Tensor:
    """Autocorrelation of a Hann window at each lag over that at lag 0: (lags,) float64 (Boersma, 1993)."""
    angle = 2 * math.pi / width * lags
    return (1 - lags / width) * (2 / 3 + angle.cos() / 3) + angle.sin() / (2 * math.pi)
