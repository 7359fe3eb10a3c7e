"""Signals that a model is proven on: windows of recordings, synthetic voices, and edge cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from emotions.audio.decode import MIN_SAMPLES
from emotions.audio.synthetic_speech import synthetic_speech
from emotions.audio.windows import FloatArray, IntArray, WindowSpec, split
from emotions.runtime.batcher import padded_batch

MAX_WINDOWS = 48
"""Windows of recordings that a proof runs."""
_WINDOWS_OF_ONE = 3
_SPECIALS = 4
_SHORTENED = 4
"""Truncate every n-th full window, so that lengths are mixed whatever the recordings are."""


@dataclass(frozen=True)
class Signals:
    """Windows to prove a model on: (windows, W) float32, zero past each ``length``; ``special`` ones last.

    Attributes:
        clips: how many recordings the first windows are of.
        special: how many of the last windows are silence, noise and the like.
        source: what the recordings are, in words, without a name.
    """

    waveform: FloatArray
    length: IntArray
    clips: int
    special: int
    source: str

    def __len__(self) -> int:
        return len(self.length)

    def with_garbage(self, seed: int) -> FloatArray:
        """The waveforms with loud noise past each length: what no answer may depend on."""
        noise = np.random.default_rng(seed).normal(0, 0.5, self.waveform.shape).astype(np.float32)
        past = np.arange(self.waveform.shape[1]) >= self.length[:, None]
        return np.where(past, noise, self.waveform)


def signals_of(
    waveforms: Iterable[FloatArray], window: int, seed: int, source: str, most: int = MAX_WINDOWS
) -> Signals:
    """Cut recordings into windows of W samples, at most ``most``, and add the special ones.

    Args:
        waveforms: (samples,) float32 at 16 kHz each; taken one by one until there are windows enough.
        window: W.
        seed: which windows of a long recording are taken, and where some are cut short.
        source: what the recordings are, in words.
        most: how many windows of recordings.
    """
    random = np.random.default_rng(seed)
    rows: list[FloatArray] = []
    clips = 0
    for waveform in waveforms:
        cut = split(waveform, WindowSpec(window, window))
        chosen = np.sort(random.permutation(len(cut))[:_WINDOWS_OF_ONE])
        rows += [cut.samples[index, : cut.lengths[index]] for index in chosen]
        clips += 1
        if len(rows) >= most:
            break
    rows = [_shortened(row, index, window, random) for index, row in enumerate(rows[:most])]
    waveform, length = padded([*rows, *_special(window, random)], window)
    return Signals(waveform, length, clips, _SPECIALS, source)


def _shortened(row: FloatArray, index: int, window: int, random: np.random.Generator) -> FloatArray:
    if len(row) < window or (index + 1) % _SHORTENED:
        return row
    return row[: random.integers(window // 4, window)]


def _special(window: int, random: np.random.Generator) -> list[FloatArray]:
    """Digital silence, white noise, the shortest clip that is accepted, and a loud tone that fills the window."""
    noise = random.normal(0, 0.1, window).astype(np.float32)
    return [
        np.zeros(window // 2, np.float32),
        noise,
        noise[:MIN_SAMPLES],
        synthetic_speech(window, random) * np.float32(3),
    ]


def padded(rows: Sequence[FloatArray], window: int) -> tuple[FloatArray, IntArray]:
    """Join signals of mixed length.

    Args:
        rows: (samples,) float32 each.
        window: W, at least the longest.

    Returns:
        (signals, W) float32, zero past the end, and (signals,) int64 lengths.
    """
    return padded_batch([row[None] for row in rows], window), np.array([len(row) for row in rows], np.int64)


def synthetic_voices(count: int, window: int, seed: int) -> list[FloatArray]:
    """Voice-like signals of mixed length, 400 to W samples, each (samples,) float32 on the 16 bit grid.

    Args:
        count: how many; the first fills the window.
        window: W.
        seed: of their lengths and samples.
    """
    random = np.random.default_rng(seed)
    shortest = min(max(window // 4, MIN_SAMPLES), window)
    lengths = random.integers(shortest, window, count, endpoint=True)
    lengths[:1] = window
    return [synthetic_speech(int(samples), random) for samples in lengths]
