"""Runs between buffers that stay on the model's device: a batch allocates nothing, and only outputs are copied back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.manifest import LENGTH, WAVEFORM
from emotions.errors import DeviceError
from emotions.runtime.batch_limit import BatchLimit
from emotions.runtime.batch_shape import GPU_SHAPES, Probabilities, Run, ShapedRun
from emotions.runtime.cuda_driver import memory, pinned
from emotions.runtime.cuda_graphs import run_options
from emotions.runtime.failures import is_out_of_memory

# A base-size encoder takes about 20 MB for each second of audio. Half of the free memory is for one run, and a quarter
# for further sessions, each of which holds the weights and as much again for its own work.
_BYTES_A_SAMPLE = 20_000_000 // SAMPLE_RATE
_MAX_SAMPLES, _MOST_SESSIONS = 300 * SAMPLE_RATE, 16
"""Where the driver does not tell how much memory is free: halving does the rest."""

logger = logging.getLogger("emotions")


@dataclass(frozen=True)
class Buffers:
    """Where the buffers of a session's runs are, and how wide its answers are.

    Attributes:
        widths: output -> classes.
        device: ``cpu`` or ``cuda``, where the session runs.
        device_id: which GPU.
        graphs: whether the sessions capture graphs.
    """

    widths: Mapping[str, int]
    device: str
    device_id: int = 0
    graphs: bool = False

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
        options = run_options(session) if self.graphs else None

        def run(waveform: FloatArray, length: IntArray) -> Probabilities:
            if host is not None:
                np.copyto(host, waveform)
            waveforms.update_inplace(np.ascontiguousarray(waveform) if host is None else host)
            lengths.update_inplace(np.ascontiguousarray(length))
            session.run_with_iobinding(bound, options)
            # Copied: the next run writes to the same buffers.
            return {name: np.array(value.numpy()) for name, value in outputs.items()}

        return run

    def _value(self, shape: list[int], kind: type[np.generic]) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_shape_and_type(shape, kind, self.device, self.device_id)


@dataclass(eq=False)
class _Stream:
    """A session and the buffers of the shape that it runs, for one caller at a time."""

    session: ort.InferenceSession
    buffers: Buffers
    shape: tuple[int, ...] = ()
    bound: Run | None = None
    kept: bool = True

    def run(self, waveform: FloatArray, length: IntArray) -> Probabilities:
        bound, self.bound = self.bound, None  # what fails is not kept
        if bound is None or self.shape != waveform.shape:
            bound, self.shape = None, waveform.shape  # the old buffers first: both may be more than memory holds
            bound = self.buffers.bound_run(self.session, *self.shape)
        answers = bound(waveform, length)
        self.bound = bound
        return answers


class IOBindingPool:
    """Runs a model between bound buffers: each shape of batch on sessions of its own, one for each stream.

    A session keeps the convolutions' kernels of its last shape alone, so that shapes that take turns on one session
    cost a choice of kernels each time. Where there are as many sessions as may be, that of the shape that was used
    longest ago drops its buffers and takes the new one. Where memory is short, those that are idle are closed.

    Args:
        session: the first session.
        buffers: of its runs.
        another: opens one more session of the same model.
        streams: batches that run at once; the first batch of a shape opens a session for each, and runs on all.
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
        self._opened = self._made = 0
        self._idle: list[_Stream] = []  # the one used longest ago first
        self._warm: set[tuple[int, ...]] = set()
        self._lock = threading.Lock()
        self._opening = threading.RLock()

    def __call__(self, waveform: FloatArray, length: IntArray) -> Probabilities:
        """(batch, samples) float32 and (batch,) int64 in, output -> (batch, classes) float32 out."""
        try:
            return self._run(waveform, length)
        except Exception as error:
            if not is_out_of_memory(error) or not self._close_idle():
                raise
        answers = self._run(waveform, length)
        self._left = max(1, self._left // 2)  # the others were what memory was short of
        logger.warning("memory was short: at most %d sessions are kept from now on", self._left)
        return answers

    @property
    def sessions(self) -> int:
        """Sessions that are open."""
        return max(1, self._opened)

    def _run(self, waveform: FloatArray, length: IntArray) -> Probabilities:
        if self._streams > 1 and waveform.shape not in self._warm:
            self._warm_up(waveform, length)
        stream = self._take(waveform.shape)
        try:
            return stream.run(waveform, length)
        finally:
            self._give_back(stream)

    def _warm_up(self, waveform: FloatArray, length: IntArray) -> None:
        """Open the streams of a shape, and run each once: none chooses its kernels in the middle of a request."""
        with self._opening:
            if waveform.shape in self._warm:
                return
            taken = [self._take(waveform.shape) for _ in range(min(self._streams, self._room()))]
            try:
                for stream in taken:
                    stream.run(waveform, length)
            finally:
                for stream in taken:
                    self._give_back(stream)
            self._warm.add(waveform.shape)

    def _room(self) -> int:
        """Streams that may be made yet; those without a session of their own share the first."""
        return max(self._left, self._streams) - self._made

    def _take(self, shape: tuple[int, ...]) -> _Stream:
        """An idle stream of the shape, else a new one, else the one used longest ago, else one for this run alone."""
        with self._lock:
            alike = [stream for stream in self._idle if stream.shape in ((), shape)]
            if alike or (self._room() <= 0 and self._idle):
                stream = (alike or self._idle[:1])[-1]
                self._idle.remove(stream)
                return stream
            if self._room() <= 0:
                return _Stream(self._first, self._buffers, kept=False)
            self._made += 1
        return _Stream(self._session(), self._buffers)

    def _give_back(self, stream: _Stream) -> None:
        with self._lock:
            if stream.kept and self._room() >= 0:
                self._idle.append(stream)
            elif stream.kept:  # there may be fewer than before
                self._drop(stream)

    def _drop(self, stream: _Stream) -> None:
        self._made -= 1
        self._opened -= stream.session is not self._first

    def _close_idle(self) -> int:
        """Drop the buffers of what runs nothing, and close its sessions but the first; returns how many were closed."""
        with self._lock:
            closed = [stream for stream in self._idle if stream.session is not self._first]
            self._idle = [stream for stream in self._idle if stream not in closed]
            for stream in closed:
                self._drop(stream)
            for stream in self._idle:
                stream.bound, stream.shape = None, ()
            self._warm.clear()
        return len(closed)

    def _session(self) -> ort.InferenceSession:
        """The first session where no stream has it, else another while there may be more, else the first."""
        with self._opening:
            if self._opened >= self._left or self._another is None or self._opened == 0:
                self._opened = max(1, self._opened)
                return self._first
            try:
                session = self._another()
            except DeviceError:
                self._left = self._opened  # no memory for one more: the first is shared
                return self._first
            with self._lock:
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
