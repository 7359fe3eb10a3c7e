"""The shape of a batch: windows are cut into runs of like length, padded to shapes that a device has seen, and run in
smaller parts where its memory does not hold them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from emotions.errors import DeviceLost
from emotions.runtime.batch_limit import BatchLimit
from emotions.runtime.failures import is_device_lost, is_out_of_memory, reason

Probabilities = dict[str, FloatArray]
"""target -> (batch, classes) float32."""
Run = Callable[[FloatArray, IntArray], Probabilities]
"""(batch, samples) float32 and (batch,) int64 -> probabilities."""

FRAME, FIRST_FRAME = 320, 400
"""Samples of a hop and of the first frame of the wav2vec 2.0 family, whose windows may be of any length; their graphs
add one frame, which is masked."""
_STEPS = (5, 6, 8)
"""Lengths to each doubling, from four steps on: the longest that is padded to one fills three quarters of it."""


@dataclass(frozen=True)
class Shapes:
    """The shapes of batches that suit a device.

    Attributes:
        batches: numbers of windows that batches are padded to, from 1 up; empty for any number.
        frames: windows of any length are padded to a multiple of so many frames, with the one that graphs add, of
            which there are three lengths to each doubling; 0 for no padding.
        min_fill: least share of audio in a batch, as wide as its longest window, 0 to 1; one window runs alone.
    """

    batches: tuple[int, ...] = ()
    frames: int = 0
    min_fill: float = 0.0

    def samples(self, longest: int) -> int:
        """Samples that windows of any length are padded to.

        Args:
            longest: samples of the longest of them.
        """
        if not self.frames:
            return max(1, longest)
        frames = max(1, 2 - (FIRST_FRAME - longest) // FRAME)
        step = self.frames
        while step * _STEPS[-1] < frames:
            step *= 2
        steps = -(-frames // step)
        if step > self.frames:
            steps = next(allowed for allowed in _STEPS if allowed >= steps)
        return FIRST_FRAME + FRAME * (steps * step - 2)

    def windows(self, length: IntArray, most: int | None) -> tuple[int, int]:
        """Windows to run at once, the first of those that wait, and the number that they are padded to.

        Args:
            length: samples of each window that waits, the longest first; all alike where length costs nothing.
            most: that memory allows; None for any number.
        """
        audio = np.cumsum(np.maximum(1, length[: None if most is None else max(1, most)]))
        sizes = self.batches or range(1, len(audio) + 1)
        padded = max(size for size in sizes if size == 1 or self._fills(audio, size, most))
        return min(len(audio), padded), padded

    def _fills(self, audio: IntArray, size: int, most: int | None) -> bool:
        """Whether a batch of ``size`` windows may be, and holds enough audio, summed up window by window."""
        allowed = most is None or size <= most
        return bool(allowed and audio[min(size, len(audio)) - 1] >= self.min_fill * size * audio[0])


CPU_SHAPES = Shapes(min_fill=0.9)
"""A CPU computes padding like anything else, and gains next to nothing from batches."""
GPU_SHAPES = Shapes((1, 2, 4, 8, 16, 32, 64), 8, 0.75)
"""On a GPU a new shape costs a new choice of kernels for each convolution, and padding what it costs anywhere."""


class ShapedRun:
    """Runs windows in batches of a device's shapes. Safe to call from several threads.

    Where a run lacks memory its batch is halved, and so are later ones, until memory was enough for some minutes. The
    log has a line of either.

    Args:
        run: the model.
        shapes: those of its device.
        longest: samples of the longest window there can be, where windows are of any length: they are run by length
            then, and cut to it. None where all windows are of one size.
        limit: most samples of one run, padding included; one window may be longer. None for none at first.
    """

    def __init__(
        self, run: Run, shapes: Shapes, *, longest: int | None = None, limit: BatchLimit | None = None
    ) -> None:
        self._run, self._shapes, self._longest = run, shapes, longest
        self._limit = limit or BatchLimit()

    def __call__(self, waveform: FloatArray, length: IntArray) -> Probabilities:
        """(batch, samples) float32 and (batch,) int64 in, target -> (batch, classes) float32 out.

        Raises:
            OutOfMemory: the device lacks memory for one window alone.
            DeviceLost: the device computes nothing for this process any more.
        """
        order = np.arange(len(length)) if self._longest is None else np.argsort(-length, kind="stable")
        left, parts = order, []
        while len(left):
            samples = waveform.shape[1] if self._longest is None else self._samples(int(length[left[0]]), self._longest)
            count, padded = self._cut(left, length, samples)
            try:
                parts.append(self._run_rows(left[:count], waveform, length, (padded, samples)))
            except Exception as error:
                if is_device_lost(error):
                    raise DeviceLost(
                        f"the GPU was lost while it computed ({reason(error)}); try again later"
                    ) from error
                if not is_out_of_memory(error):
                    raise
                self._limit.halve(padded, samples, error)
            else:
                left = left[count:]
        if len(parts) == 1 and self._longest is None:
            return parts[0]
        as_given = np.argsort(order)
        return {target: np.concatenate([part[target] for part in parts])[as_given] for target in parts[0]}

    def _samples(self, found: int, longest: int) -> int:
        """Samples to pad to; never past the longest window, for which a model may have no position any more."""
        return max(found, min(self._shapes.samples(found), longest))

    def _cut(self, left: IntArray, length: IntArray, samples: int) -> tuple[int, int]:
        allowed = self._limit.samples()
        most = None if allowed is None else allowed // samples
        return self._shapes.windows(np.ones_like(left) if self._longest is None else length[left], most)

    def _run_rows(
        self, rows: IntArray, waveform: FloatArray, length: IntArray, shape: tuple[int, int]
    ) -> Probabilities:
        """Run some windows, padded to a shape: with zeros in time, and with the first of them for windows."""
        if shape == waveform.shape and len(rows) == len(waveform) and self._longest is None:
            return self._run(waveform, length)
        count, (padded, samples) = len(rows), shape
        batch, lengths = np.zeros(shape, np.float32), np.full(padded, length[rows[0]], np.int64)
        given = min(samples, waveform.shape[1])
        batch[:count, :given] = waveform[rows, :given]
        batch[count:] = batch[0]
        lengths[:count] = length[rows]
        answers = self._run(batch, lengths)
        return answers if count == padded else {target: values[:count] for target, values in answers.items()}
