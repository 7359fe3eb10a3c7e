"""Folders on a Ray cluster: chunks of paths go out to actors, rows come back; no waveform travels.

Plain actors rather than Ray Data: a chunk of the list is classified in the very batches of a local run, so that the
table is the same; the checkpoint notes each chunk as it comes, so that a killed run goes on; and a chunk that kills its
process twice is halved until the file that does it stands alone. A node that dies costs the chunks it was at.
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

from emotions.errors import DeviceError, EmotionsError, ModelError
from emotions.folder.result import FileResult
from emotions.inputs.input_file import InputFile, is_url
from serving.batch.ray_worker import CORES, Cluster, Task, Worker

_MOST_FAILURES = 50
"""Failures in a row that say that something else than a file is wrong."""
_CONNECT_SEC = 10.0
_PATIENCE_SEC = 300.0
"""Seconds without a living actor after which the cluster is given up."""


def heaviest_first(pending: Sequence[int], chunks: Sequence[Sequence[InputFile]]) -> list[int]:
    """The chunks with the most bytes first, so that none is left to run alone at the end."""
    return sorted(pending, key=lambda index: -sum(map(_bytes, chunks[index])))


def _bytes(file: InputFile) -> int:
    try:
        return 0 if is_url(file.source) else os.stat(file.source).st_size  # noqa: PTH116 - for every file of millions
    except OSError:
        return 0


def classify_on_ray(
    cluster: Cluster, chunks: Iterable[tuple[int, Sequence[InputFile]]]
) -> Iterator[tuple[int, Iterator[FileResult]]]:
    """Classify numbered chunks on a cluster, in any order.

    Raises:
        EmotionsError: the cluster cannot be reached, the bundle cannot be used there, or everything fails.
    """
    with contextlib.redirect_stdout(sys.stderr), _connected(cluster.address):  # Ray prints; stdout is for results
        pool = _Pool(cluster)
        try:
            yield from pool.classify(iter(chunks))
        finally:
            pool.close()


def _ray() -> Any:
    import ray

    return ray


@contextlib.contextmanager
def _connected(address: str) -> Iterator[None]:
    """A connection to a cluster, closed at the end unless the caller's process had it before."""
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    _connect(address)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    ray = _ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    started = {"include_dashboard": False} if address == "local" else {}
    try:
        if re.fullmatch(r"[^/]+:\d+", address):  # Ray would end this process where nobody answers
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), _CONNECT_SEC).close()
        ray.init(address=address, configure_logging=False, log_to_driver=False, **started)
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error) or "no answer").splitlines()[0]
        raise ModelError(f"no Ray cluster at {address} ({reason}); 'local' starts one on this machine") from error


class _Pool:
    """Actors, what each is at, and what is still to do. One that dies is replaced."""

    def __init__(self, cluster: Cluster) -> None:
        ray = _ray()
        self._cluster = cluster
        self._gpus, self._cores, count = _plan(cluster)
        self._busy: dict[Any, tuple[Any, Task | None]] = {}
        self._idle: deque[Any] = deque()
        self._tasks: deque[Task] = deque()
        self._files: dict[int, Sequence[InputFile]] = {}
        self._results: dict[int, dict[int, list[FileResult]]] = {}
        self._failures = 0
        self._variant = ""
        self._ray = ray
        for _ in range(count):
            self._start()

    def classify(self, chunks: Iterator[tuple[int, Sequence[InputFile]]]) -> Iterator[tuple[int, Iterator[FileResult]]]:
        """Keep every actor at work, and give each chunk when all of its files are done."""
        alive = time.monotonic()
        while self._feed(chunks):
            ready, _ = self._ray.wait([*self._busy], num_returns=1, timeout=10)
            if ready or any(task for _, task in self._busy.values()):
                alive = time.monotonic()
            if time.monotonic() - alive > _PATIENCE_SEC:
                raise ModelError(f"the cluster has had no room for the model for {_PATIENCE_SEC:g} s")
            for reference in ready:
                yield from self._take(reference)

    def close(self) -> None:
        """End the actors."""
        for actor in (*self._idle, *(actor for actor, _ in self._busy.values())):
            self._ray.kill(actor)

    def _start(self) -> None:
        resources = {"num_gpus": 1} if self._gpus else {"num_cpus": self._cores}
        actor = self._ray.remote(**resources)(Worker).remote(replace(self._cluster, cores=self._cores))
        self._busy[actor.load.remote()] = (actor, None)

    def _feed(self, chunks: Iterator[tuple[int, Sequence[InputFile]]]) -> bool:
        """Give idle actors something to do; False once everything is done."""
        self._refill(chunks)
        while self._idle and self._tasks:
            task, actor = self._tasks.popleft(), self._idle.popleft()
            files = self._files[task.chunk][task.start : task.stop]
            self._busy[actor.classify.remote(files)] = (actor, task)
            self._refill(chunks)
        return bool(self._files)

    def _refill(self, chunks: Iterator[tuple[int, Sequence[InputFile]]]) -> None:
        """Have one chunk at hand, as long as there are any."""
        if self._tasks or (following := next(chunks, None)) is None:
            return
        index, files = following
        self._files[index] = [_absolute(file) for file in files]
        self._results[index] = {}
        self._tasks.append(Task(index, 0, len(files)))

    def _take(self, reference: Any) -> Iterator[tuple[int, Iterator[FileResult]]]:
        """Take what an actor has answered, or see to it that others do what it failed at."""
        actor, task = self._busy.pop(reference)
        try:
            results = self._ray.get(reference)
        except self._ray.exceptions.RayActorError:
            self._start()
            results = self._failed(task)
        except self._ray.exceptions.RayTaskError as error:
            if task is None:
                raise _told(error) from error
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
        """Plan what to try instead of what failed; the result of a file that fails alone."""
        self._failures += 1
        if self._failures > _MOST_FAILURES:
            raise ModelError(f"the model's processes died {self._failures} times in a row; see Ray's logs")
        if task is None:
            return None
        instead = task.after_failure()
        self._tasks.extendleft(reversed(instead))
        if instead:
            return None
        file = self._files[task.chunk][task.start]
        return [FileResult(file.name, None, "the process that classified it died", "crashed", file.start, file.end)]

    def _done(self, task: Task, results: list[FileResult]) -> Iterator[tuple[int, Iterator[FileResult]]]:
        parts = self._results[task.chunk]
        parts[task.start] = results
        if sum(map(len, parts.values())) == len(self._files[task.chunk]):
            del self._files[task.chunk], self._results[task.chunk]
            yield task.chunk, (result for start in sorted(parts) for result in parts[start])


def agreed(known: str, found: str) -> str:
    """The variant and device of all actors; ``known`` is empty before the first.

    Raises:
        DeviceError: they differ, so that rows would not be of one kind.
    """
    if known and known != found:
        raise DeviceError(f"the nodes of the cluster run {known} and {found}; say which with --device and --variant")
    return found


def _plan(cluster: Cluster) -> tuple[bool, int, int]:
    """Whether actors have GPUs, the CPU cores of each otherwise, and how many of them the cluster has room for."""
    ray = _ray()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if gpus and cluster.device != "cpu":
        return True, cluster.cores or CORES, gpus
    most = max((int(node.get("CPU", 0)) for node in nodes), default=1)
    cores = max(1, min(cluster.cores or CORES, most))
    return False, cores, max(1, sum(int(node.get("CPU", 0)) // cores for node in nodes))


def _absolute(file: InputFile) -> InputFile:
    """A file as another process finds it."""
    return file if is_url(file.source) else replace(file, source=os.path.abspath(file.source))  # noqa: PTH100


def _told(error: Any) -> EmotionsError:
    """What went wrong as an actor loaded the model."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, EmotionsError) else ModelError(f"a node cannot load the model ({cause or error})")
