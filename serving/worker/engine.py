"""What stands between a request and the model: a pool that decodes, and the batcher that all requests share."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import soundfile

from emotions.audio import decode
from emotions.audio.windows import FloatArray, IntArray, Windows
from emotions.errors import Overloaded, TooLong, TooManyRequests
from emotions.predictor import Predictor
from emotions.runtime.batcher import Batcher, BatchResult
from emotions.runtime.devices import GPU_PARALLEL_BATCHES, cpu_parallel_batches
from emotions.runtime.prediction import Prediction
from emotions.runtime.session import Probabilities, Run, open_session
from serving.settings import Settings
from serving.telemetry import tracing
from serving.telemetry.metrics import Metrics

_WARM_UP_SAMPLES = 32_000
"""Of a window that may be shorter: a whole one would take seconds, and its shape is none that comes often."""
_LONG_SEC = 0.01
"""Of the model on one window: what takes longer is given all threads when it is alone. The rest gains less than it
costs, for the threads of one run wait for each other."""
T = TypeVar("T")
Clip = IO[bytes] | Path | FloatArray
"""A recording: a file, the path of one, or its samples (samples,) at 16 kHz."""

# Weight of the last run in the moving average of how many seconds of audio a batch does in a second.
_NEWEST = 0.1


@dataclass(frozen=True)
class TimedPrediction:
    """A prediction and where its time went, in seconds.

    Attributes:
        prediction: what the model says.
        decode_sec: decoding, resampling and cutting into windows.
        queue_sec: waiting, for a decoding thread and for the model.
        inference_sec: in the model, with the batches it shared.
    """

    prediction: Prediction
    decode_sec: float
    queue_sec: float
    inference_sec: float


@dataclass(frozen=True)
class _Prepared:
    windows: Windows
    waited_sec: float
    decode_sec: float


class Engine:
    """A loaded model with its queue, in one worker process. Belongs to one event loop; close it at the end."""

    def __init__(self, predictor: Predictor, settings: Settings, metrics: Metrics) -> None:
        self.predictor = predictor
        self.settings = settings
        self.metrics = metrics
        self.max_batch = settings.batch_limit(predictor.session.device)
        self._in_flight = 0
        self._speed = 0.0
        self._alone: Run | None = None
        self._running = 0
        self._counting = threading.Lock()
        self._decoders = ThreadPoolExecutor(settings.decode_threads or settings.cores, thread_name_prefix="decode")
        self._parallel_batches = _parallel_batches(predictor, settings)
        self._batcher = Batcher(
            self._run,
            max_batch=self.max_batch,
            max_queue_sec=settings.max_queue_sec,
            parallel_batches=self._parallel_batches,
        )

    def warm_up(self) -> None:
        """Decode once, and run the model for each batch size whose first run is slow: on a GPU all powers of two."""
        recording = io.BytesIO()
        soundfile.write(recording, np.linspace(-0.5, 0.5, 8000), 8000, format="WAV")
        recording.seek(0)
        self._prepare(recording, time.perf_counter())
        sizes = [1]
        while self.predictor.session.device == "cuda" and sizes[-1] * 2 <= self.max_batch:
            sizes.append(sizes[-1] * 2)
        window = self.predictor.manifest.window
        samples = min(window.samples, _WARM_UP_SAMPLES) if window.dynamic else window.samples
        for size in sizes:
            self.predictor.session.run(np.zeros((size, samples), np.float32), np.full(size, samples, np.int64))
        self._alone = self._with_all_threads(samples)

    def _with_all_threads(self, samples: int) -> Run | None:
        """The model on the threads of all parallel batches, for a window that runs alone and takes long; else None."""
        session, threads = self.predictor.session, self.settings.model_threads
        if session.device != "cpu" or session.threads >= threads:
            return None
        started = time.perf_counter()
        session.run(np.zeros((1, samples), np.float32), np.full(1, samples, np.int64))
        if time.perf_counter() - started < _LONG_SEC:
            return None
        return open_session(self.predictor.bundle, device="cpu", variant=session.variant, threads=threads).run

    def _check_room(self) -> None:
        """Refuse a request that there is no room for.

        Raises:
            TooManyRequests: as many as allowed are in flight already.
            Overloaded: it would be over time before its turn came.
        """
        if self._in_flight >= self.settings.max_in_flight:
            message = f"{self._in_flight} requests are in flight already; try again later"
            raise TooManyRequests(message)
        self._check_wait(self.settings.timeout_sec)

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request as in flight. Raises as ``_check_room``."""
        self._check_room()
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self._in_flight += change
        self.metrics.in_flight.set(self._in_flight)

    def _check_wait(self, seconds: float) -> None:
        """Refuse at once what would wait for longer than ``seconds``: work on it would be in vain."""
        wait = self._batcher.waiting_sec / (self._speed * self._parallel_batches) if self._speed else 0.0
        if wait > seconds:
            raise Overloaded(f"the audio that is waiting takes about {wait:.1f} s; try again later")

    async def in_decoder(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run what takes the CPU for a while in the pool that decodes, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work, *arguments)

    async def classify(self, source: Clip, deadline: float | None = None) -> TimedPrediction:
        """Classify one recording; cancelling takes it out of the queue.

        Args:
            source: a file, the path of one, or its samples (samples,) float32 at 16 kHz.
            deadline: the event loop's time at which nobody waits for it any more.

        Raises:
            AudioError: the recording cannot be used.
            Overloaded: too much audio is waiting, or its turn would come too late.
        """
        loop = asyncio.get_running_loop()
        prepared = await loop.run_in_executor(self._decoders, self._prepare, source, time.perf_counter())
        if deadline is not None:
            self._check_wait(deadline - loop.time())
        answer = await asyncio.wrap_future(self._submit(prepared.windows))
        prediction = self.predictor.prediction(prepared.windows, answer.probabilities)
        queue_sec = prepared.waited_sec + answer.queue_sec
        classified = TimedPrediction(prediction, prepared.decode_sec, queue_sec, answer.inference_sec)
        self._note(classified)
        return classified

    def _submit(self, windows: Windows) -> Future[BatchResult]:
        submitted = self._batcher.submit(windows)
        self.metrics.queued_audio.set(self._batcher.waiting_sec)
        return submitted

    def _run(self, waveform: FloatArray, length: IntArray) -> Probabilities:
        started = time.perf_counter()
        with self._model(len(length)) as model:
            answers = model(waveform, length)
        seconds = time.perf_counter() - started
        speed = float(length.sum()) / decode.SAMPLE_RATE / max(seconds, 1e-9)
        self._speed += (speed - self._speed) * (_NEWEST if self._speed else 1)
        self.metrics.ran(waveform, length, seconds)
        self.metrics.queued_audio.set(self._batcher.waiting_sec)
        return answers

    @contextlib.contextmanager
    def _model(self, windows: int) -> Iterator[Run]:
        """The model for a batch: on all threads where it is one window and nothing else runs or waits."""
        with self._counting:
            self._running += 1
            alone = self._running == windows == 1 and not self._batcher.waiting_sec
        try:
            yield self._alone if alone and self._alone is not None else self.predictor.session.run
        finally:
            with self._counting:
                self._running -= 1

    def _note(self, classified: TimedPrediction) -> None:
        stages = {
            "decode": classified.decode_sec,
            "queue": classified.queue_sec,
            "infer": classified.inference_sec,
        }
        self.metrics.classified(classified.prediction, *stages.values())
        tracing.record(stages, classified.prediction.duration_sec)

    def _prepare(self, source: Clip, submitted: float) -> _Prepared:
        started = time.perf_counter()
        windows = self.predictor.split(self._waveform(source))
        return _Prepared(windows, started - submitted, time.perf_counter() - started)

    def _waveform(self, source: Clip) -> FloatArray:
        limit = self.settings.max_seconds
        if isinstance(source, np.ndarray):
            if len(source) > limit * decode.SAMPLE_RATE:
                raise TooLong(f"longer than {limit:g} s")
            return decode.checked(source)
        # A recording is held in memory as a whole only here, so in as many copies as there are threads.
        content = source if isinstance(source, Path) else source.read()
        return decode.decode(content, max_sec=limit)

    def close(self) -> None:
        """Finish what is queued and stop the threads."""
        self._decoders.shutdown(wait=True, cancel_futures=True)
        self._batcher.close()


def _parallel_batches(predictor: Predictor, settings: Settings) -> int:
    """Batches that run at once: a GPU copies one while it computes another, on a CPU they share out the threads."""
    dynamic = predictor.manifest.window.dynamic
    if predictor.session.device == "cuda":
        return settings.parallel_batches or (1 if dynamic else GPU_PARALLEL_BATCHES)
    return cpu_parallel_batches(settings.model_threads, dynamic=dynamic, asked=settings.parallel_batches)[0]
