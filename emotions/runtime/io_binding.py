"""Runs between buffers that stay on the model's device: a batch allocates nothing, and only outputs are copied back."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnxruntime as ort

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.manifest import LENGTH, WAVEFORM
from emotions.errors import DeviceError
from emotions.runtime.batch_limit import BatchLimit
from emotions.runtime.batch_shape import GPU_SHAPES, Probabilities, Run, ShapedRun
from emotions.runtime.cuda_driver import memory, pinned

_KEPT_SHAPES = 8
"""Shapes that a stream keeps buffers for: the last ones."""
# A base-size encoder takes about 20 MB for each second of audio. Half of the free memory is for one run, and a quarter
# for further sessions, each of which holds the weights and as much again for its own work.
_BYTES_A_SAMPLE = 20_000_000 // SAMPLE_RATE
_MAX_SAMPLES, _MOST_SESSIONS = 300 * SAMPLE_RATE, 6
"""Where the driver does not tell how much memory is free: halving does the rest."""


@dataclass(frozen=True)
class Buffers:
    """Where the buffers of a session's runs are, and how wide its answers are.

    Attributes:
        widths: output -> classes.
        device: ``cpu`` or ``cuda``, where the session runs.
        device_id: which GPU.
    """

    widths: Mapping[str, int]
    device: str
    device_id: int = 0

    def bound_run(self, session: ort.InferenceSession, windows: int, samples: int) -> Run:
        """Make what runs batches of one shape between buffers of its own; for one caller at a time.

        Args:
            session: the model.
            windows: of a batch.
            samples: of a window.
        """
        bound = session.io_binding()
        waveforms, lengths = self._value([windows, samples], np.float32), self._value([windows], np.int64)
        outputs = {name: self._value([windows, width], np.float32) for name, width in self.widths.items()}
        bound.bind_ortvalue_input(WAVEFORM, waveforms)
        bound.bind_ortvalue_input(LENGTH, lengths)
        for name, value in outputs.items():
            bound.bind_ortvalue_output(name, value)
        # From pinned memory the copy takes a third of the time, and does not wait for what runs on other streams.
        host = pinned((windows, samples), np.float32, self.device_id) if self.device == "cuda" else None

        def run(waveform: FloatArray, length: IntArray) -> Probabilities:
            if host is not None:
                np.copyto(host, waveform)
            waveforms.update_inplace(np.ascontiguousarray(waveform) if host is None else host)
            lengths.update_inplace(np.ascontiguousarray(length))
            session.run_with_iobinding(bound)
            # Copied: the next run writes to the same buffers.
            return {name: np.array(value.numpy()) for name, value in outputs.items()}

        return run

    def _value(self, shape: list[int], kind: type[np.generic]) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_shape_and_type(shape, kind, self.device, self.device_id)


@dataclass
class _Stream:
    """A session and its buffers, for one caller at a time."""

    session: ort.InferenceSession
    buffers: Buffers
    runs: OrderedDict[tuple[int, ...], Run] = field(default_factory=OrderedDict)

    def run(self, waveform: FloatArray, length: IntArray) -> Probabilities:
        shape = waveform.shape
        run = self.runs.pop(shape, None)
        if run is None:
            while len(self.runs) >= _KEPT_SHAPES:
                self.runs.popitem(last=False)
            run = self.buffers.bound_run(self.session, *shape)
        answers = run(waveform, length)
        self.runs[shape] = run  # the last one used is the last to go; one that failed is not kept
        return answers


class IOBindingPool:
    """Runs a model between bound buffers: each size of batch on sessions of its own, one for each stream.

    A session keeps the convolutions' kernels of its last shape alone, so that sizes that take turns on one session cost
    a choice of kernels each time. What exceeds ``most_sessions`` shares the first session.

    Args:
        session: the first session.
        buffers: of its runs.
        another: opens one more session of the same model.
        streams: batches that run at once; the first batch of a size opens a session for each, and runs on all.
        most_sessions: sessions to open at most; each holds the model's weights.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        buffers: Buffers,
        another: Callable[[], ort.InferenceSession] | None = None,
        *,
        streams: int = 1,
        most_sessions: int = 1,
    ) -> None:
        self._first, self._buffers, self._another = session, buffers, another
        self._streams, self._left = streams, most_sessions if another else 1
        self._opened = 0
        self._free: dict[int, list[_Stream]] = {}
        self._lock = threading.Lock()
        self._opening = threading.Lock()

    def __call__(self, waveform: FloatArray, length: IntArray) -> Probabilities:
        """(batch, samples) float32 and (batch,) int64 in, output -> (batch, classes) float32 out."""
        size = len(waveform)
        if size not in self._free:
            self._warm_up(size, waveform, length)
        with self._lock:
            free = self._free[size]
            stream = free.pop() if free else None
        stream = stream or _Stream(self._first, self._buffers)  # more callers than streams
        try:
            return stream.run(waveform, length)
        finally:
            with self._lock:
                self._free[size].append(stream)

    @property
    def sessions(self) -> int:
        """Sessions that are open."""
        return max(1, self._opened)

    def _warm_up(self, size: int, waveform: FloatArray, length: IntArray) -> None:
        """Open the streams of a size, and run each once: none chooses its kernels in the middle of a request."""
        with self._opening:
            if size in self._free:
                return
            opened = self._opened
            try:
                streams = [_Stream(self._session(), self._buffers) for _ in range(self._streams)]
                for stream in streams:
                    stream.run(waveform, length)
            except BaseException:
                self._opened = opened
                raise
            self._free[size] = streams

    def _session(self) -> ort.InferenceSession:
        if self._opened >= self._left or self._another is None or self._opened == 0:
            self._opened = max(1, self._opened)
            return self._first
        try:
            session = self._another()
        except DeviceError:
            self._left = self._opened  # no memory for one more: the first is shared
            return self._first
        self._opened += 1
        return session


def gpu_run(
    open_session: Callable[[], ort.InferenceSession],
    buffers: Buffers,
    weights: int,
    *,
    streams: int,
    longest: int | None,
) -> ShapedRun:
    """A model on a GPU, with as many sessions and as large batches as its free memory allows.

    Args:
        open_session: opens a session of the model.
        buffers: of its runs.
        weights: bytes of the model.
        streams: batches that will run at once.
        longest: samples of the longest window, where windows are of any length; None where all are of one size.
    """
    first = open_session()
    found = memory(buffers.device_id)
    free = None if found is None else found[0]
    sessions = _MOST_SESSIONS if free is None else min(_MOST_SESSIONS, free // 4 // (2 * max(1, weights)))
    most = _MAX_SAMPLES if free is None else free // 2 // _BYTES_A_SAMPLE
    pool = IOBindingPool(first, buffers, open_session, streams=streams, most_sessions=max(1, sessions))
    return ShapedRun(pool, GPU_SHAPES, longest=longest, limit=BatchLimit(None if longest is None else most))
