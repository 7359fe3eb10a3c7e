"""From a recording to its prediction in one worker: a pool of threads that decodes, and a batcher for all requests."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import soundfile

from emotions.audio.decoders.read import read
from emotions.audio.speech.windows import Segments
from emotions.audio.windows import FloatArray, IntArray, Windows
from emotions.bundle.manifest import EMBEDDING
from emotions.bundle.reference.observation import Observation
from emotions.errors import DeviceLost, Overloaded, TooManyRequests
from emotions.predictor import Predictor
from emotions.runtime.batch_shape import Probabilities
from emotions.runtime.batcher import Batcher, BatchResult
from emotions.runtime.prediction import Prediction
from serving.settings import Settings
from serving.telemetry.metrics import Load, Metrics
from serving.telemetry.requests import record_spans
from serving.worker.batch_runner import BatchRunner
from serving.worker.decoding import Clip, Decoded, Selection
from serving.worker.shadow import Keeping, Shadow
from serving.worker.shared import Shared
from serving.worker.shares import Shares

__all__ = ["Clip", "Engine", "TimedPrediction"]

_BATCH_SEC = 0.2
"""Most seconds of one batch of several windows on a CPU, for which those that come meanwhile wait: live audio among
them. On a GPU a batch takes hardly longer than a window."""
_COUNT_SEC = 0.05
"""Age of the metrics of the load that another worker answers with, at most."""
T = TypeVar("T")


@dataclass(frozen=True)
class TimedPrediction:
    """A prediction and where its time went, in seconds.

    Attributes:
        decode_sec: decoding, resampling and splitting into windows.
        queue_sec: waiting for a decoding thread and for the model.
        inference_sec: in the model, in batches shared with other recordings.
    """

    prediction: Prediction
    decode_sec: float
    queue_sec: float
    inference_sec: float


class Engine:
    """A loaded model with its queue, in one worker process. Belongs to one event loop; close it at the end.

    Args:
        predictor: the loaded bundle.
        settings: the service's settings.
        metrics: what it counts in.
        shared: what it shares with the other models of its worker; None where it is the only one.
        name: its name in URLs and metrics; by default the bundle's.

    Attributes:
        users: requests and streams that use it now.
        shadow: answers beside it, for the metrics; None for none.
    """

    def __init__(
        self,
        predictor: Predictor,
        settings: Settings,
        metrics: Metrics,
        shared: Shared | None = None,
        name: str = "",
    ) -> None:
        self.predictor = predictor
        self.settings = settings
        self.metrics = metrics
        self.name = name or predictor.manifest.name
        self.users = 0
        self.shadow: Shadow | None = None
        self.max_batch = settings.batch_limit(predictor.session.device)
        self._is_alone = shared is None
        self._shared = shared or Shared.of(settings)
        self.arrivals = self._shared.arrivals
        self._in_flight = Shares(settings.max_in_flight)
        self._is_counting = False
        self._drift = metrics.drift.watch(predictor.bundle, settings.drift_window)
        self._runner = BatchRunner(predictor, settings, metrics)
        self._batcher = Batcher(
            self._run,
            max_batch=self.max_batch,
            max_queue_sec=settings.max_queue_sec,
            max_batch_sec=_BATCH_SEC if predictor.session.device == "cpu" else None,
            parallel_batches=self._runner.parallel_batches,
        )
        metrics.loads[self] = self._load

    @property
    def lost(self) -> str:
        """Why the model's device computes nothing for this process any more; empty while it does."""
        return self._runner.lost

    @property
    def watches_drift(self) -> bool:
        """Whether recordings are compared with reference statistics of the bundle."""
        return self._drift is not None

    def warm_up(self) -> None:
        """Start decoders; run the model on each size of batch whose first run is slow.

        Raises:
            OutOfMemory: the device lacks memory for one window.
        """
        recording = io.BytesIO()
        soundfile.write(recording, np.linspace(-0.5, 0.5, 8000), 8000, format="WAV")
        read(recording.getvalue())
        self._shared.decoder.warm_up()
        self._runner.warm_up(self.max_batch)

    def finish_warm_up(self) -> None:
        """Wait for what ``warm_up`` has begun, and requests need not wait for."""
        self._runner.finish_warm_up()

    def check_load(self, client: str) -> None:
        """Refuse a request that could not be admitted now, before its body is read. Raises as ``admit``."""
        if self._runner.lost:
            raise DeviceLost(self._runner.lost)
        if not self._in_flight.has_room(client):
            raise self._too_many(client)
        self._check_wait(self.settings.timeout_sec)

    def admit(self, client: str = "") -> None:
        """Count a request, whose body is there, as in flight until ``release``.

        Args:
            client: the name of its key, or its address.

        Raises:
            TooManyRequests: as many as allowed are in flight already, in all or of this client among several.
            Overloaded: it would time out before its turn came.
            DeviceLost: the model's device is lost.
        """
        self.check_load(client)
        self._in_flight.take(client)

    def release(self, client: str = "") -> None:
        """Count a request as in flight no longer."""
        self._in_flight.give_back(client)

    def count_load(self) -> None:
        """Set the metrics of what is here, soon; to be called when that changes."""
        if not self._is_counting:  # to set one takes longer than to know, and nobody reads them for each request
            self._is_counting = True
            asyncio.get_running_loop().call_later(_COUNT_SEC, self._count_load)

    def _count_load(self) -> None:
        self._is_counting = False
        self.metrics.set_load()

    def _load(self) -> Load:
        return Load(self.arrivals.count, self._in_flight.taken, self._batcher.waiting_sec)

    def _too_many(self, client: str) -> TooManyRequests:
        count, whose = self._in_flight.taken, ""
        if count < self._in_flight.total:
            count, whose = self._in_flight.taken_by(client), " of this client"
        return TooManyRequests(f"{count} requests{whose} are in flight already; try again later")

    def _check_wait(self, seconds: float) -> None:
        """Refuse at once what would wait longer than ``seconds``."""
        wait = self._runner.seconds_for(self._batcher.waiting_sec)
        if wait > seconds:
            raise Overloaded(f"the audio that is waiting takes about {wait:.1f} s; try again later")

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the engine open until the block ends, though another takes its place meanwhile."""
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1

    async def in_decoder(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call a function that uses the CPU for a while in a thread, off the event loop."""
        return await self._shared.decoder.in_thread(work, *arguments)

    async def classify(
        self,
        source: Clip,
        deadline: float | None = None,
        segments: Segments = "windows",
        channel: int | None = None,
    ) -> TimedPrediction:
        """Classify one recording; cancelling takes it out of the queue.

        Args:
            source: a file, the path of one, or its samples (samples,) float32 at 16 kHz.
            deadline: the event loop's time after which the result is of no use.
            segments: classify all of it, or its speech alone.
            channel: the one to classify, from 1; None for the mean of all.

        Raises:
            AudioError: the recording cannot be used, or has no such channel.
            Overloaded: too much audio is waiting, or its turn would come too late.
            TimeoutError: decoding has taken until the deadline.
        """
        submitted = time.perf_counter()
        clock = asyncio.get_running_loop().time
        left = self.settings.timeout_sec if deadline is None else deadline - clock()
        keeping = Keeping(self.predictor.split_into) if self.shadow and self.shadow.wants() else None
        measures = self._drift is not None and self._drift.wants(busy=self._in_flight.taken > 1)
        selection = Selection(keeping or self.predictor.split_into, segments, channel, measures=measures)
        decoded = await self._shared.decoder.windows(source, left, selection)
        windows, decode_sec = decoded.windows, decoded.seconds
        if deadline is not None:
            self._check_wait(deadline - clock())
        future = self._batcher.submit(windows)
        result = await asyncio.wrap_future(future)
        prediction = self.predictor.prediction(windows, _answers(result), decoded.flaws, decoded.speech)
        queue_sec = decoded.started - submitted + result.queue_sec
        self.metrics.count_recording(self.name, prediction, decode_sec, queue_sec, result.inference_sec)
        if self.shadow and keeping and keeping.waveform is not None:
            self.shadow.offer(keeping.waveform, segments, prediction)
        if decoded.signal is not None:
            self.watch(_observation(prediction, decoded, result))
        stages = {"decode": decode_sec, "queue": queue_sec, "infer": result.inference_sec}
        record_spans(stages, prediction.duration_sec)
        return TimedPrediction(prediction, decode_sec, queue_sec, result.inference_sec)

    def watch(self, clip: Observation) -> None:
        """Compare a clip that was answered otherwise than by ``classify`` with the bundle's reference, if it has one.

        Args:
            clip: what was answered, and what is known of its sound.
        """
        if self._drift is not None:
            self._drift.add(clip)

    async def classify_windows(self, windows: Windows) -> Probabilities:
        """Classify windows, in batches shared with all others; cancelling takes them out of the queue.

        Raises:
            Overloaded: too much audio is waiting.
            DeviceLost: the model's device is lost.
        """
        if self._runner.lost:
            raise DeviceLost(self._runner.lost)
        answers = (await asyncio.wrap_future(self._batcher.submit(windows))).probabilities
        self.metrics.write_soon()
        return answers

    async def channels(self, source: IO[bytes] | Path, left: float) -> int:
        """How many channels a recording has.

        Args:
            source: a file, or the path of one.
            left: seconds after which the answer is of no use.

        Raises:
            AudioError, Overloaded, TimeoutError: as ``classify``.
        """
        return await self._shared.decoder.channels(source, left)

    def _run(self, waveform: FloatArray, length: IntArray) -> Probabilities:
        return self._runner.run(waveform, length, others_wait=self._batcher.waiting_sec > 0)

    def close(self) -> None:
        """Run what is queued, and stop the threads; of what is shared, only what is its own."""
        if self._is_alone:
            self._shared.decoder.close()
        self._runner.finish_warm_up()
        self._batcher.close()
        self.metrics.loads.pop(self, None)


def _answers(result: BatchResult) -> Probabilities:
    """What the model says of the targets alone."""
    return {name: values for name, values in result.probabilities.items() if name != EMBEDDING}


def _observation(prediction: Prediction, decoded: Decoded, result: BatchResult) -> Observation:
    embedding = result.probabilities.get(EMBEDDING)
    return Observation(
        prediction.probabilities,
        prediction.values,
        prediction.duration_sec,
        decoded.signal,
        None if embedding is None else embedding.mean(axis=0),
    )
