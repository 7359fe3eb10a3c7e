"""A shadow: a second bundle that answers some of the recordings beside the live one, for the metrics alone.

Clients wait for the live answer and never for the shadow's: it works in one thread of the lowest priority on the CPU,
with audio that the live model has decoded already, and what comes while it is busy is dropped.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.speech.windows import Segments, Speech
from emotions.audio.windows import FloatArray, Windows
from emotions.errors import BundleError
from emotions.predictor import Predictor
from emotions.runtime.prediction import Prediction
from serving.telemetry.shadow_metrics import ShadowMetrics
from serving.worker.decoding import Split

_WAITING_SAMPLES = 60 * SAMPLE_RATE
"""Most samples that wait for the shadow; one longer recording may wait alone."""
_LOWEST = 19
"""Niceness of its thread, where threads have one."""
logger = logging.getLogger("bentoml.emotions")


class Keeping:
    """Cuts a waveform into the live model's windows, and keeps it for the shadow.

    Args:
        split: that of the live model.
    """

    def __init__(self, split: Split) -> None:
        self._split = split
        self.waveform: FloatArray | None = None

    def __call__(self, segments: Segments, waveform: FloatArray) -> tuple[Windows, Speech | None]:
        """As the live model's."""
        self.waveform = waveform
        return self._split(segments, waveform)


class Shadow:
    """A loaded bundle that answers beside the live one. Offers come from one event loop; close it at the end.

    Args:
        predictor: the bundle, on the CPU.
        share: of the recordings, 0 to 1.
        metrics: what its answers are counted in.

    Attributes:
        waiting: samples that it has yet to answer.
    """

    def __init__(self, predictor: Predictor, share: float, metrics: ShadowMetrics) -> None:
        self.predictor, self._share, self._metrics = predictor, share, metrics
        self.waiting = 0
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shadow", initializer=_give_way)

    def wants(self) -> bool:
        """Whether the next recording is of its share."""
        return random.random() < self._share  # noqa: S311 - a sample, no secret

    def check(self, live: Predictor) -> None:
        """Refuse a shadow that has nothing in common with the live model.

        Raises:
            BundleError: no target of the two has the same name.
        """
        if not {*self.predictor.manifest.targets} & {*live.manifest.targets}:
            raise BundleError(f"{self.predictor.bundle.path}: has no target of the live bundle, so nothing to compare")

    def offer(self, waveform: FloatArray, segments: Segments, live: Prediction) -> None:
        """Have a recording answered and compared, soon; where the shadow is busy it is dropped.

        Args:
            waveform: (samples,) at 16 kHz.
            segments: whether all of it is classified, or its speech.
            live: the live answer.
        """
        with self._lock:
            if self.waiting and self.waiting + len(waveform) > _WAITING_SAMPLES:
                self._metrics.count("dropped")
                return
            self.waiting += len(waveform)
        self._thread.submit(self._answer, waveform, segments, live)

    def _answer(self, waveform: FloatArray, segments: Segments, live: Prediction) -> None:
        try:
            windows, speech = self.predictor.split_into(segments, waveform)
            answers = self.predictor.session.run(windows.samples, windows.lengths)
            self._compare(self.predictor.prediction(windows, answers, speech=speech), live)
            self._metrics.count("compared")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the shadow's alone
            self._metrics.count("failed")
            logger.warning("the shadow bundle fails: %s", error)
        finally:
            with self._lock:
                self.waiting -= len(waveform)

    def _compare(self, shadow: Prediction, live: Prediction) -> None:
        for target in shadow.answers.keys() & live.answers.keys():
            scores, others = live.answers[target], shadow.answers[target]
            low, high = self.predictor.manifest.ranges.get(target, (0.0, 1.0))
            names = [*(scores.keys() | others.keys())]  # a label that one lacks has no probability there
            apart = [abs(scores.get(name, 0.0) - others.get(name, 0.0)) / (high - low) for name in names]
            self._metrics.difference.labels(target).observe(float(np.mean(apart)))
            if target in live.labels and live.labels[target] != shadow.labels.get(target):
                self._metrics.disagreements.labels(target).inc()

    def close(self) -> None:
        """Drop what waits, and stop the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def _give_way() -> None:
    """Put this thread behind all others of the machine; where threads have no priority of their own, leave it."""
    if hasattr(os, "setpriority") and os.name == "posix" and os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
