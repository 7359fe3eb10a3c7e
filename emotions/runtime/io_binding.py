"""Runs between buffers that stay on the model's device: a batch allocates nothing, and only outputs are copied back."""

from __future__ import annotations

from collections.abc import Mapping
from queue import Empty, SimpleQueue

import numpy as np
import onnxruntime as ort

from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.manifest import LENGTH, WAVEFORM

MOST_BOUND = 64
"""Windows of the largest batch that buffers are kept for."""


def is_bound(windows: int) -> bool:
    """Whether batches of so many windows have buffers: only powers of two, which the service warms, to save memory."""
    return windows <= MOST_BOUND and windows & (windows - 1) == 0


class _Binding:
    """The buffers of one batch size, for one run at a time."""

    def __init__(
        self,
        session: ort.InferenceSession,
        windows: int,
        samples: int,
        widths: Mapping[str, int],
        device: str,
        device_id: int,
    ) -> None:
        def buffer(shape: list[int], kind: type[np.generic]) -> ort.OrtValue:
            return ort.OrtValue.ortvalue_from_shape_and_type(shape, kind, device, device_id)

        self._session, self._bound = session, session.io_binding()
        self._waveform, self._length = buffer([windows, samples], np.float32), buffer([windows], np.int64)
        self._outputs = {name: buffer([windows, width], np.float32) for name, width in widths.items()}
        self._bound.bind_ortvalue_input(WAVEFORM, self._waveform)
        self._bound.bind_ortvalue_input(LENGTH, self._length)
        for name, output in self._outputs.items():
            self._bound.bind_ortvalue_output(name, output)

    def run(self, waveform: FloatArray, length: IntArray) -> dict[str, FloatArray]:
        """(windows, samples) float32 and (windows,) int64 in, output -> (windows, classes) float32 out, copied."""
        self._waveform.update_inplace(np.ascontiguousarray(waveform))
        self._length.update_inplace(np.ascontiguousarray(length))
        self._session.run_with_iobinding(self._bound)
        return {name: np.array(output.numpy()) for name, output in self._outputs.items()}


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
        self._free: dict[int, SimpleQueue[_Binding]] = {size: SimpleQueue() for size in sizes if is_bound(size)}

    def __call__(self, waveform: FloatArray, length: IntArray) -> dict[str, FloatArray]:
        """(batch, samples) float32 and (batch,) int64 in, output -> (batch, classes) float32 out."""
        free = self._free.get(len(waveform))
        if free is None:
            answers = self._session.run([*self._widths], {WAVEFORM: waveform, LENGTH: length})
            return dict(zip(self._widths, answers, strict=True))
        try:
            binding = free.get_nowait()
        except Empty:
            arguments = (len(waveform), self._samples, self._widths, self._device, self._device_id)
            binding = _Binding(self._session, *arguments)
        answers = binding.run(waveform, length)
        free.put(binding)
        return answers
