"""Folders on a Ray cluster: chunks of paths go to actors, results come back; no waveform is transferred.

Plain actors rather than Ray Data: a chunk is classified in the same batches as in a local run, so that the table is
the same; the checkpoint records each chunk as it comes, so that a killed run can resume; and a chunk whose process dies
twice is halved until the file that crashes it is alone. A node that dies loses only the chunks that it was working on.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import ray

from emotions.errors import DeviceError, EmotionsError, ModelError, first_line
from emotions.folder.result import FileResult
from emotions.inputs.input_file import InputFile, is_url
from serving.batch.ray_worker import CORES, Cluster, Task, Worker

_MAX_FAILURES = 50
"""Consecutive failures after which something else than a file must be wrong."""
_CONNECT_SEC = 10.0
_ACTOR_TIMEOUT_SEC = 300.0
"""Seconds without a living actor after which the run gives up."""
NumberedChunks = Iterator[tuple[int, Sequence[InputFile]]]
ChunkResults = Iterator[tuple[int, Iterator[FileResult]]]


def heaviest_first(pending: Sequence[int], chunks: Sequence[Sequence[InputFile]]) -> list[int]:
    """Sort chunks by size, the largest first, so that none of them runs alone at the end.

    Args:
        pending: indices of the chunks to sort.
        chunks: files of all chunks.
    """

    def size(file: InputFile) -> int:
        try:
            return 0 if is_url(file.source) else os.stat(file.source).st_size  # noqa: PTH116 - called for millions
        except OSError:
            return 0

    return sorted(pending, key=lambda index: -sum(map(size, chunks[index])))


def classify_on_ray(cluster: Cluster, chunks: Iterable[tuple[int, Sequence[InputFile]]]) -> ChunkResults:
    """Classify numbered chunks on a cluster; their results come in any order.

    Args:
        cluster: where and how.
        chunks: index and files of each.
    """
    with contextlib.redirect_stdout(sys.stderr), _connected(cluster.address):  # Ray prints; stdout is for results
        pool = _Pool(cluster)
        try:
            yield from pool.classify(iter(chunks))
        finally:
            pool.close()


@contextlib.contextmanager
def _connected(address: str) -> Iterator[None]:
    """Connect to a cluster, and disconnect at the end unless the process was connected before."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        if re.fullmatch(r"[^/]+:\d+", address):  # Ray would end this process where nobody answers
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), _CONNECT_SEC).close()
        ray.init(address=address, configure_logging=False, log_to_driver=False, **options)
    except (OSError, ValueError, RuntimeError) as error:
        reason = first_line(error)
        raise ModelError(f"no Ray cluster at {address} ({reason}); 'local' starts one on this machine") from error
    try:
        yield
    finally:
        ray.shutdown()


class _Pool:
    """Actors, the task of each, and the tasks that wait. An actor that dies is replaced."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._gpus, self._cores, count = _plan(cluster)
        self._busy: dict[Any, tuple[Any, Task | None]] = {}
        self._idle: deque[Any] = deque()
        self._tasks: deque[Task] = deque()
        self._files: dict[int, Sequence[InputFile]] = {}
        self._results: dict[int, dict[int, list[FileResult]]] = {}
        self._failures = 0
        self._variant = ""
        for _ in range(count):
            self._start()

    def classify(self, chunks: NumberedChunks) -> ChunkResults:
        """Keep every actor busy, and give each chunk when all of its files are done."""
        alive = time.monotonic()
        while self._feed(chunks):
            ready, _ = ray.wait([*self._busy], num_returns=1, timeout=10)
            if ready or any(task for _, task in self._busy.values()):
                alive = time.monotonic()
            if time.monotonic() - alive > _ACTOR_TIMEOUT_SEC:
                raise ModelError(f"the cluster has had no room for the model for {_ACTOR_TIMEOUT_SEC:g} s")
            for reference in ready:
                yield from self._take(reference)

    def close(self) -> None:
        """End the actors."""
        for actor in (*self._idle, *(actor for actor, _ in self._busy.values())):
            ray.kill(actor)

    def _start(self) -> None:
        resources: dict[str, Any] = {"num_gpus": 1} if self._gpus else {"num_cpus": self._cores}
        actor: Any = ray.remote(**resources)(Worker).remote(replace(self._cluster, cores=self._cores))
        self._busy[actor.load.remote()] = (actor, None)

    def _feed(self, chunks: NumberedChunks) -> bool:
        """Give idle actors tasks; False once everything is done."""
        self._refill(chunks)
        while self._idle and self._tasks:
            task, actor = self._tasks.popleft(), self._idle.popleft()
            files = self._files[task.chunk][task.start : task.stop]
            self._busy[actor.classify.remote(files)] = (actor, task)
            self._refill(chunks)
        return bool(self._files)

    def _refill(self, chunks: NumberedChunks) -> None:
        """Keep one chunk waiting, as long as there are any."""
        if self._tasks or (following := next(chunks, None)) is None:
            return
        index, files = following
        self._files[index] = [
            file if is_url(file.source) else replace(file, source=os.path.abspath(file.source))  # noqa: PTH100
            for file in files  # by absolute paths, other processes find them
        ]
        self._results[index] = {}
        self._tasks.append(Task(index, 0, len(files)))

    def _take(self, reference: Any) -> ChunkResults:
        """Take the results of an actor, or plan another attempt at what it failed at."""
        actor, task = self._busy.pop(reference)
        try:
            results = ray.get(reference)
        except ray.exceptions.RayActorError:
            self._start()
            results = self._failed(task)
        except ray.exceptions.RayTaskError as error:
            if task is None:
                cause: Any = getattr(error, "cause", None)  # what the actor raised while it loaded the model
                if isinstance(cause, EmotionsError):
                    raise cause from error
                raise ModelError(f"a node cannot load the model ({cause or error})") from error
            self._idle.append(actor)
            results = self._failed(task)
        else:
            self._idle.append(actor)
            self._failures = 0
            if task is None:
                self._variant = agreed(self._variant, results)
        if task is not None and results is not None:
            yield from self._done(task, results)

    def _failed(self, task: Task | None) -> list[FileResult] | None:
        """Plan another attempt at what failed; the result of a file that crashes its process alone."""
        self._failures += 1
        if self._failures > _MAX_FAILURES:
            raise ModelError(f"the model's processes died {self._failures} times in a row; see Ray's logs")
        if task is None:
            return None
        attempts = task.after_failure()
        self._tasks.extendleft(reversed(attempts))
        if attempts:
            return None
        file = self._files[task.chunk][task.start]
        return [FileResult.of(file, None, "the process that classified it died", "crashed")]

    def _done(self, task: Task, results: list[FileResult]) -> ChunkResults:
        parts = self._results[task.chunk]
        parts[task.start] = results
        if sum(map(len, parts.values())) == len(self._files[task.chunk]):
            del self._files[task.chunk], self._results[task.chunk]
            yield task.chunk, (result for start in sorted(parts) for result in parts[start])


def agreed(known: str, found: str) -> str:
    """Check that all actors run the same variant on the same kind of device; else rows would not be comparable.

    Args:
        known: variant and device of the actors so far; empty before the first.
        found: those of the next one.
    """
    if known and known != found:
        raise DeviceError(f"the nodes of the cluster run {known} and {found}; say which with --device and --variant")
    return found


def _plan(cluster: Cluster) -> tuple[bool, int, int]:
    """Whether actors have a GPU each, their CPU cores otherwise, and the number of actors that the cluster can run."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if gpus and cluster.device != "cpu":
        return True, cluster.cores or CORES, gpus
    most = max((int(node.get("CPU", 0)) for node in nodes), default=1)
    cores = max(1, min(cluster.cores or CORES, most))
    return False, cores, max(1, sum(int(node.get("CPU", 0)) // cores for node in nodes))
