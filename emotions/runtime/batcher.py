"""One batcher, for the service and for folders: windows of different clips share a batch.

The service is greedy: a free thread takes its share of what is waiting, up to ``max_batch`` windows, and never waits
for more. Under light load a clip runs at once, under heavy load batches fill by themselves. Clips take turns, and a
batch holds no more than runs in ``max_batch_sec``: the rest of a long clip goes behind those that wait, so that an
hour's recording does not hold up live audio. A folder fills: every batch but the last is full, so that which clips
share a batch, and with it the last digit of an answer, does not depend on timing. The queue is bounded in seconds of
audio.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray, Windows
from emotions.errors import EmotionsError, ModelError, Overloaded
from emotions.runtime.batch_shape import Probabilities, Run

_PACE_WEIGHT = 0.2
"""Weight of a batch in the mean of seconds a sample."""


@dataclass(frozen=True)
class BatchResult:
    """The model's output for one clip, target -> (windows, classes) float32, and how long it took.

    ``queue_sec`` ends when the first window runs, ``inference_sec`` when the last is done; ``batch_size`` is that of
    the largest batch with windows of the clip.
    """

    probabilities: Probabilities
    queue_sec: float
    inference_sec: float
    batch_size: int


@dataclass
class _Job:
    windows: Windows
    future: Future[BatchResult]
    submitted: float = field(default_factory=time.perf_counter)
    started: float = 0.0
    taken: int = 0
    turn_samples: int = 0
    batch_size: int = 0
    parts: dict[int, Probabilities] = field(default_factory=dict)  # by the first of their windows
    answered: int = 0


@dataclass(frozen=True)
class _Slice:
    job: _Job
    start: int
    stop: int


class Batcher:
    """Runs clips through a model in shared batches.

    Args:
        run: the model.
        max_batch: most windows in one batch.
        max_queue_sec: most seconds of audio waiting; None for no limit.
        max_batch_sec: most seconds that a batch of several windows may run, by those before it; None for no limit.
        fill: wait until a batch is full, or the batcher is closed.
        least_samples: samples that windows are zero-padded to, where all of a batch are shorter.
        parallel_batches: batches that run at once, each on a thread of its own; what is waiting is shared out among
            them.
    """

    def __init__(
        self,
        run: Run,
        *,
        max_batch: int,
        max_queue_sec: float | None = None,
        max_batch_sec: float | None = None,
        fill: bool = False,
        least_samples: int = 0,
        parallel_batches: int = 1,
    ) -> None:
        if max_batch < 1 or parallel_batches < 1:
            raise ValueError(
                f"max_batch and parallel_batches must be at least 1, got {max_batch} and {parallel_batches}"
            )
        self._run = run
        self._max_batch = max_batch
        self._max_samples = None if max_queue_sec is None else int(max_queue_sec * SAMPLE_RATE)
        self._max_batch_sec = max_batch_sec
        self._sec_per_sample = 0.0  # of a batch with its padding; 0 until one has run
        self._fill = fill
        self._least_samples = least_samples
        self._jobs: deque[_Job] = deque()
        self._waiting_windows = 0
        self._waiting_samples = 0
        self._closed = False
        self._changed = threading.Condition()
        self._parallel_batches = [
            threading.Thread(target=self._work, name=f"batcher-{slot}", daemon=True) for slot in range(parallel_batches)
        ]
        for slot in self._parallel_batches:
            slot.start()

    def submit(self, windows: Windows) -> Future[BatchResult]:
        """Queue a clip's windows; cancelling the future drops those that have not run.

        Raises:
            Overloaded: the queue is full, or the batcher is closed.
        """
        job = _Job(windows, Future())
        samples = int(windows.lengths.sum())
        with self._changed:
            if self._closed:
                raise Overloaded("shutting down")
            full = self._max_samples is not None and self._waiting_samples + samples > self._max_samples
            if full and self._jobs:
                raise Overloaded(f"{self._waiting_samples / SAMPLE_RATE:.0f} s of audio are waiting already")
            self._jobs.append(job)
            self._waiting_samples += samples
            self._waiting_windows += len(windows)
            self._changed.notify()
        return job.future

    @property
    def waiting_sec(self) -> float:
        """Seconds of audio in the queue."""
        return self._waiting_samples / SAMPLE_RATE

    def close(self) -> None:
        """Refuse new clips, finish those in the queue, stop the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for slot in self._parallel_batches:
            slot.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            self._run_batch(batch)

    def _next_batch(self) -> list[_Slice]:
        """Wait for windows and take up to ``max_batch`` of them, in turns; empty once closed and drained."""
        with self._changed:
            while True:
                batch = self._take()
                if batch and self._jobs:  # a clip wakes one thread, and may have windows for all
                    self._changed.notify()
                if batch or self._closed:
                    return batch
                self._changed.wait()

    def _take(self) -> list[_Slice]:
        batch: list[_Slice] = []
        room = self._max_batch
        if self._fill and self._waiting_windows < room and not self._closed:
            return batch
        if not self._fill:
            room = min(room, -(-self._waiting_windows // len(self._parallel_batches)))
        most_samples, width, size = self._most_samples(), self._least_samples, 0
        while self._jobs and size < room:
            job = self._jobs[0]
            if job.future.done():
                self._leave(job, len(job.windows))
                continue
            width = max(width, job.windows.samples.shape[1])
            fit = room if most_samples == math.inf else min(room, int(most_samples / width))
            if batch and fit <= size:
                break
            stop = min(job.taken + max(fit - size, 1), len(job.windows))
            batch.append(_Slice(job, job.taken, stop))
            size += stop - job.taken
            self._leave(job, stop)
        return batch

    def _most_samples(self) -> float:
        """Samples of a batch, padding included, that run in ``max_batch_sec``."""
        if self._max_batch_sec is None or not self._sec_per_sample:
            return math.inf
        return self._max_batch_sec / self._sec_per_sample

    def _leave(self, job: _Job, stop: int) -> None:
        """Take the first clip's windows up to ``stop`` out of the queue; after a turn the rest goes behind the others.

        A turn lasts as long as a batch may: short clips that come together are answered one by one, not all at the end.
        """
        samples = int(job.windows.lengths[job.taken : stop].sum())
        job.turn_samples += samples
        self._waiting_samples -= samples
        self._waiting_windows -= stop - job.taken
        job.taken = stop
        if stop == len(job.windows):
            self._jobs.popleft()
        elif not self._fill and not job.turn_samples < self._most_samples() < math.inf:
            job.turn_samples = 0
            self._jobs.rotate(-1)

    def _run_batch(self, batch: list[_Slice]) -> None:
        started = time.perf_counter()
        try:
            samples = [part.job.windows.samples[part.start : part.stop] for part in batch]
            lengths = np.concatenate([part.job.windows.lengths[part.start : part.stop] for part in batch])
            waveform = padded_batch(samples, self._least_samples)
            answers = self._run(waveform, lengths)
            pace = (time.perf_counter() - started) / waveform.size
            self._sec_per_sample += (pace - self._sec_per_sample) * (_PACE_WEIGHT if self._sec_per_sample else 1.0)
        except Exception as error:  # noqa: BLE001 - every caller must learn of it, whatever it is
            for part in batch:
                _fail(part.job, error)
            return
        offset = 0
        size = len(lengths)
        for part in batch:
            count = part.stop - part.start
            job = part.job
            job.started = job.started or started
            job.batch_size = max(job.batch_size, size)
            job.parts[part.start] = {target: values[offset : offset + count] for target, values in answers.items()}
            offset += count
            with self._changed:  # another thread may have the clip's other windows
                job.answered += count
                whole = job.answered == len(job.windows)
            if whole:
                _finish(job)


def _finish(job: _Job) -> None:
    parts = [job.parts[start] for start in sorted(job.parts)]
    probabilities = {target: np.concatenate([part[target] for part in parts]) for target in parts[0]}
    done = time.perf_counter()
    answer = BatchResult(probabilities, job.started - job.submitted, done - job.started, job.batch_size)
    try:  # noqa: SIM105 - once a clip: a context manager costs more
        job.future.set_result(answer)
    except InvalidStateError:
        pass  # cancelled while it ran: nobody waits for it


def _fail(job: _Job, error: Exception) -> None:
    wrapped = error if isinstance(error, EmotionsError) else ModelError(f"the model failed: {error}")
    with contextlib.suppress(InvalidStateError):
        job.future.set_exception(wrapped)


def padded_batch(parts: Sequence[FloatArray], least_samples: int) -> FloatArray:
    """Join windows to one array, zero-padded to the longest of them.

    Args:
        parts: (windows, samples) float32 each, of any number of samples.
        least_samples: the fewest samples to pad to.

    Returns:
        (all windows, samples) float32, contiguous; without a copy where one part has the shape already.
    """
    width = max(least_samples, *(part.shape[1] for part in parts))
    if len(parts) == 1 and parts[0].shape[1] == width:
        return np.ascontiguousarray(parts[0])
    batch = np.zeros((sum(map(len, parts)), width), np.float32)
    start = 0
    for part in parts:
        batch[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return batch
