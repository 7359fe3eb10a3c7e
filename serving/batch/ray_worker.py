"""What runs in each process of a Ray cluster, and what it is asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from emotions.folder.predict_files import open_parallel, predict_files
from emotions.folder.result import FileResult
from emotions.inputs.input_file import InputFile
from emotions.runtime.session import DeviceChoice

CORES = 2
"""CPU cores of an actor unless the user says otherwise."""


@dataclass(frozen=True)
class Cluster:
    """Where to classify.

    Attributes:
        address: ``auto`` for the cluster that this machine is in, ``local`` for one of its own, or ``host:port``.
        bundle: the bundle; every node sees it, as it sees the recordings, at the same path.
        device: where the model runs; with GPUs one actor each.
        cores: CPU cores of an actor where it has no GPU.
        windows: windows are wanted; else they stay where they were made.
        embeddings: so are embeddings.
        variant: which form of the model; None or ``auto`` for the one that suits the device.
    """

    address: str
    bundle: Path
    device: DeviceChoice = "auto"
    cores: int | None = None
    windows: bool = False
    embeddings: bool = False
    variant: str | None = None


@dataclass(frozen=True)
class Task:
    """Files ``start`` to ``stop`` of a chunk, and how often they have failed as they are."""

    chunk: int
    start: int
    stop: int
    failures: int = 0

    def after_failure(self) -> list[Task]:
        """What to try instead: once the same again, then halves; nothing for a file alone."""
        if self.failures == 0:
            return [replace(self, failures=1)]
        if self.stop - self.start == 1:
            return []
        middle = (self.start + self.stop) // 2
        halves = ((self.start, middle), (middle, self.stop))
        return [Task(self.chunk, start, stop, int(stop - start > 1)) for start, stop in halves]


class Worker:
    """A model in a process of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def load(self) -> str:
        """Load the model, and say which variant runs where.

        A call of its own, so that what is wrong with the bundle is told apart from a dead node.
        """
        asked = self._cluster
        self._model, self._parallel_batches = open_parallel(
            asked.bundle,
            device=asked.device,
            variant=asked.variant,
            threads=asked.cores or CORES,
            embedding=asked.embeddings,
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
        )
        return [*results] if self._cluster.windows else [_light(result) for result in results]


def _light(result: FileResult) -> FileResult:
    """A result without its windows."""
    prediction = result.prediction
    return result if prediction is None else replace(result, prediction=replace(prediction, windows=()))
