"""Runs between buffers that stay on the model's device: a batch allocates nothing, and only outputs are copied back."""

from __future__ import annotations

from collections.abc import Mapping
from queue import Empty, SimpleQueue

import numpy as np
import onnxruntime as ort

from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.manifest import LENGTH, WAVEFORM
from emotions.runtime.batch_shape import Probabilities, Run

MOST_BOUND = 64
"""Windows of the largest batch that buffers are kept for."""


def is_bound(windows: int) -> bool:
    """Whether batches of so many windows have buffers: only powers of two, which the service warms, to save memory."""
    return windows <= MOST_BOUND and windows & (windows - 1) == 0


def _bound_run(
    session: ort.InferenceSession, windows: int, samples: int, widths: Mapping[str, int], device: str, device_id: int
) -> Run:
    """Runs batches of one size between buffers of its own; for one caller at a time."""

    def buffer(shape: list[int], kind: type[np.generic]) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_shape_and_type(shape, kind, device, device_id)

    bound = session.io_binding()
    inputs = {WAVEFORM: buffer([windows, samples], np.float32), LENGTH: buffer([windows], np.int64)}
    outputs = {name: buffer([windows, width], np.float32) for name, width in widths.items()}
    for name, value in inputs.items():
        bound.bind_ortvalue_input(name, value)
    for name, value in outputs.items():
        bound.bind_ortvalue_output(name, value)

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        inputs[WAVEFORM].update_inplace(np.ascontiguousarray(waveform))
        inputs[LENGTH].update_inplace(np.ascontiguousarray(length))
        session.run_with_iobinding(bound)
        # Copied: the next run writes to the same buffers.
        return {name: np.array(value.numpy()) for name, value in outputs.items()}

    return run


class IOBindingPool:
    """Runs a model between bound buffers, as many of a batch size as callers run it at once.

    Args:
        session: a model whose windows are of one size.
        samples: of a window.
        widths: output -> classes.
        device: ``cpu`` or ``cuda``, where the session runs.
        device_id: which GPU.
    """

    def __init__(
        self, session: ort.InferenceSession, samples: int, widths: Mapping[str, int], device: str, device_id: int = 0
    ) -> None:
        self._session, self._samples, self._widths = session, samples, widths
        self._device, self._device_id = device, device_id
        sizes = range(1, MOST_BOUND + 1)
        self._free: dict[int, SimpleQueue[Run]] = {size: SimpleQueue() for size in sizes if is_bound(size)}

    def __call__(self, waveform: FloatArray, length: IntArray) -> Probabilities:
        """(batch, samples) float32 and (batch,) int64 in, output -> (batch, classes) float32 out."""
        free = self._free.get(len(waveform))
        if free is None:
            answers = self._session.run([*self._widths], {WAVEFORM: waveform, LENGTH: length})
            return dict(zip(self._widths, answers, strict=True))
        try:
            run = free.get_nowait()
        except Empty:
            buffers = (len(waveform), self._samples, self._widths, self._device, self._device_id)
            run = _bound_run(self._session, *buffers)
        answers = run(waveform, length)
        free.put(run)
        return answers
