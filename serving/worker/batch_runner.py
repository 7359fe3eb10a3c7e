"""The model of a worker: each batch on the threads that suit it, how fast batches are, and whether its device lives."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

import numpy as np

from emotions.audio import decode
from emotions.audio.windows import FloatArray, IntArray
from emotions.errors import DeviceLost, EmotionsError
from emotions.predictor import Predictor
from emotions.runtime.batch_shape import Probabilities, Run
from emotions.runtime.devices import cpu_parallel_batches, gpu_parallel_batches
from emotions.runtime.session import open_session
from serving.settings import Settings
from serving.telemetry.drift.gauges import embeds
from serving.telemetry.metrics import Metrics

logger = logging.getLogger("bentoml.emotions")

_WARM_UP_SAMPLES = 32_000
"""Samples of the warm-up window of a model with dynamic length, whose whole window would take seconds."""
_SLOW_RUN_SEC = 0.01
"""Duration of the model on one window from which all threads pay off when it runs alone; below, their synchronisation
costs more than they gain."""
_TRIES = 3
"""Runs by which that is judged: others may use the cores, and the least is what the model takes."""
_SPEED_WEIGHT = 0.1
"""Weight of the last batch in the moving average of the model's speed."""


class BatchRunner:
    """Runs the batches of a model; may be called from several threads.

    Args:
        predictor: the loaded bundle.
        settings: the service's settings.
        metrics: what it counts batches in.

    Attributes:
        parallel_batches: how many may run at once.
        lost: why the model's device computes nothing for this process any more; empty while it does.
    """

    def __init__(self, predictor: Predictor, settings: Settings, metrics: Metrics) -> None:
        self.parallel_batches = _parallel_batches(predictor, settings)
        self.lost = ""
        self._predictor = predictor
        self._settings = settings
        self._metrics = metrics
        self._speed = 0.0  # seconds of audio that one of the parallel batches does in a second
        self._run_alone: Run | None = None
        self._opening: threading.Thread | None = None
        self._running = 0
        self._running_lock = threading.Lock()

    def warm_up(self, max_batch: int) -> None:
        """Run the model on each size of batch whose first run is slow.

        Args:
            max_batch: most windows of a batch.

        Raises:
            OutOfMemory: the device lacks memory for one window.
        """
        session, window = self._predictor.session, self._predictor.manifest.window
        samples = min(window.samples, _WARM_UP_SAMPLES) if window.dynamic else window.samples
        # On a GPU the longest windows, too: what memory does not hold is known before the first request.
        lengths = {samples, window.samples} if session.device == "cuda" else {samples}
        for size in sorted({1, *(min(size, max_batch) for size in session.shapes.batches)}):
            for longest in sorted(lengths):
                session.run(np.zeros((size, longest), np.float32), np.full(size, longest, np.int64))
        if session.device == "cpu" and session.threads < self._settings.model_threads:
            self._opening = threading.Thread(target=self._open_alone, args=(samples,), name="open", daemon=True)
            self._opening.start()

    def finish_warm_up(self) -> None:
        """Wait for what ``warm_up`` has begun, and requests need not wait for."""
        if self._opening is not None:
            self._opening.join()

    def _open_alone(self, samples: int) -> None:
        """Open the model on the threads of all parallel batches, for a window that runs alone, unless it is fast."""
        predictor, settings = self._predictor, self._settings
        if min(self._seconds(samples) for _ in range(_TRIES)) < _SLOW_RUN_SEC:
            return
        embedding = embeds(predictor.bundle, settings.drift_window)
        variant, threads = predictor.session.variant, settings.model_threads
        try:
            session = open_session(
                predictor.bundle, device="cpu", variant=variant, threads=threads, embedding=embedding
            )
        except EmotionsError as error:
            logger.warning("a window that runs alone has no more threads than others: %s", error)
        else:
            self._run_alone = session.run

    def _seconds(self, samples: int) -> float:
        """How long the model takes for one window."""
        started = time.perf_counter()
        self._predictor.session.run(np.zeros((1, samples), np.float32), np.full(1, samples, np.int64))
        return time.perf_counter() - started

    def run(self, waveform: FloatArray, length: IntArray, *, others_wait: bool) -> Probabilities:
        """Run a batch, and count it.

        Args:
            waveform: (windows, samples) float32, padded.
            length: (windows,) int64, the samples of each.
            others_wait: whether more windows wait for a batch.

        Raises:
            DeviceLost: the model's device is lost, now and for this process.
        """
        started = time.perf_counter()
        try:
            with self._model(len(length), others_wait=others_wait) as model:
                probabilities = model(waveform, length)
        except DeviceLost as error:
            self.lost = str(error)
            raise
        seconds = time.perf_counter() - started
        speed = float(length.sum()) / decode.SAMPLE_RATE / max(seconds, 1e-9)
        self._speed += (speed - self._speed) * (_SPEED_WEIGHT if self._speed else 1)
        self._metrics.count_batch(waveform, length, seconds)
        return probabilities

    def seconds_for(self, audio_sec: float) -> float:
        """How long the model takes, as fast as it was lately; 0 before its first batch.

        Args:
            audio_sec: seconds of audio.
        """
        return audio_sec / (self._speed * self.parallel_batches) if self._speed else 0.0

    @contextlib.contextmanager
    def _model(self, windows: int, *, others_wait: bool) -> Iterator[Run]:
        """The model for a batch: on all threads where it has one window and nothing else runs or waits."""
        with self._running_lock:
            self._running += 1
            alone = self._running == windows == 1 and not others_wait
        try:
            yield self._run_alone if alone and self._run_alone is not None else self._predictor.session.run
        finally:
            with self._running_lock:
                self._running -= 1


def _parallel_batches(predictor: Predictor, settings: Settings) -> int:
    """Batches that run at once: a GPU copies one while it computes another; on a CPU they share the threads."""
    long = predictor.manifest.window.long
    if predictor.session.device == "cuda":
        return gpu_parallel_batches(long=long, asked=settings.parallel_batches)
    return cpu_parallel_batches(settings.model_threads, long=long, asked=settings.parallel_batches)[0]
