"""The actor of a Ray cluster, and its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from emotions.audio.speech.windows import Segments
from emotions.folder.predict_files import open_parallel, predict_files
from emotions.folder.result import FileResult
from emotions.inputs.input_file import InputFile
from emotions.runtime.session import DeviceChoice

CORES = 2
"""CPU cores of an actor unless the user says otherwise."""


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster and how to classify there.

    Attributes:
        address: ``auto`` for the cluster that this machine belongs to, ``local`` to start one here, or ``host:port``.
        bundle: every node finds it, as it does the recordings, at the same path.
        device: where the model runs; on GPUs one actor each.
        cores: CPU cores of an actor without a GPU.
        windows: whether results keep their windows; else these are not transferred.
    """

    address: str
    bundle: Path
    device: DeviceChoice = "auto"
    cores: int | None = None
    windows: bool = False
    embeddings: bool = False
    variant: str | None = None
    strict: bool = False
    segments: Segments = "windows"


@dataclass(frozen=True)
class Task:
    """Files ``start`` to ``stop`` of a chunk, and how often this task has failed."""

    chunk: int
    start: int
    stop: int
    failures: int = 0

    def after_failure(self) -> list[Task]:
        """The tasks to try instead: once the same again, then its halves; none for a single file."""
        if self.failures == 0:
            return [replace(self, failures=1)]
        if self.stop - self.start == 1:
            return []
        middle = (self.start + self.stop) // 2
        halves = ((self.start, middle), (middle, self.stop))
        return [Task(self.chunk, start, stop, int(stop - start > 1)) for start, stop in halves]


class Worker:
    """An actor with a model."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def load(self) -> str:
        """Load the model, and return its variant and device.

        Not part of ``__init__``, so that an error of the bundle is not taken for a dead node.
        """
        cluster = self._cluster
        self._model, self._parallel_batches = open_parallel(
            cluster.bundle,
            device=cluster.device,
            variant=cluster.variant,
            threads=cluster.cores or CORES,
            embedding=cluster.embeddings,
        )
        return f"{self._model.session.variant} on {self._model.session.device}"

    def classify(self, files: Sequence[InputFile]) -> list[FileResult]:
        """Classify files as one chunk."""
        results = predict_files(
            self._model,
            files,
            chunk_files=len(files),
            decode_threads=self._cluster.cores,
            parallel_batches=self._parallel_batches,
            strict=self._cluster.strict,
            segments=self._cluster.segments,
        )
        if self._cluster.windows:
            return [*results]
        return [replace(each, prediction=each.prediction and replace(each.prediction, windows=())) for each in results]
