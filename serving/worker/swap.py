"""Changes of bundles while the service runs: load the new one, let it answer, and let the old one finish its requests.

What is followed is the path that a setting names: a link that is pointed elsewhere, or a folder that is replaced. A
new bundle takes over only once its files, its probe and a first run have passed; else the old one goes on, and the new
one is tried again when it changes.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from emotions.errors import EmotionsError
from serving.settings import Settings
from serving.worker.engine import Engine
from serving.worker.loading import OpenPredictor, new_engine, reason_for_clients
from serving.worker.models import ServedModel
from serving.worker.state import WorkerState

_MOST_FILES = 10_000
_LOOK_SEC = 0.05
Version = tuple[object, ...]
logger = logging.getLogger("bentoml.emotions")


class Follower:
    """Follows the bundles of one worker. Belongs to one event loop.

    Args:
        worker: the worker's state.
        settings: the service's settings.
        index: number of the worker, from 0.
        opener: loads a bundle, as ``open_predictor``.
    """

    def __init__(self, worker: WorkerState, settings: Settings, index: int, opener: OpenPredictor) -> None:
        self._worker, self._settings, self._index, self._opener = worker, settings, index, opener
        self._seen: dict[ServedModel, Version | None] = {each: version_of(each.path) for each in worker.models}
        self._retiring: set[asyncio.Task[None]] = set()

    async def follow(self, every_sec: float) -> None:
        """Look at all bundles from time to time, one after the other, for ever.

        Args:
            every_sec: seconds between two looks.
        """
        while True:
            await asyncio.sleep(every_sec)
            for served in self._worker.models:
                if not self._worker.drain.draining:
                    await self._look(served)

    async def _look(self, served: ServedModel) -> None:
        found = await asyncio.to_thread(version_of, served.source)
        if found is None or found == self._seen[served]:
            return
        self._seen[served] = found
        try:
            engine = await asyncio.to_thread(self._load, served)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old bundle goes on
            self._refuse(served, error)
            return
        if await asyncio.to_thread(version_of, served.source) != found:  # changed while it was loaded: not what it was
            await asyncio.to_thread(engine.close)
            self._seen[served] = None
            return
        self._take(served, engine)

    def _load(self, served: ServedModel) -> Engine:
        newer = ServedModel(served.name, served.source.resolve(), served.source)
        return new_engine(newer, self._worker, self._settings, self._index, self._opener)

    def _refuse(self, served: ServedModel, error: Exception) -> None:
        logger.error("the new bundle of %r is refused, the old one goes on: %s", served.name, error)
        self._worker.metrics.models.changes.labels(served.name or "default", "refused").inc()
        if served.engine is None and isinstance(error, EmotionsError):
            served.fault = reason_for_clients(error, served)

    def _take(self, served: ServedModel, engine: Engine) -> None:
        """Let the new engine answer from now on, and the old one what it has."""
        old, served.engine, served.fault = served.engine, engine, ""
        served.path, served.name = engine.predictor.bundle.path, engine.name
        metrics = self._worker.metrics
        if old is not None:
            engine.shadow, old.shadow = old.shadow, None
            metrics.forget_bundle(old.predictor)
            self._retire(old)
        for each in self._worker.models.engines:  # one of them may be of the bundle that was forgotten
            metrics.describe_bundle(each.predictor)
        metrics.models.ready.labels(engine.name).set(1)
        metrics.models.changes.labels(engine.name, "taken").inc()
        logger.info("serving %r", engine.predictor)

    def _retire(self, engine: Engine) -> None:
        task = asyncio.create_task(_retired(engine))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


async def _retired(engine: Engine) -> None:
    """Close an engine once nothing uses it: a request ends at its deadline, a stream where its client ends it."""
    while engine.users:
        await asyncio.sleep(_LOOK_SEC)
    await asyncio.to_thread(engine.close)
    logger.info("no longer serving %r", engine.predictor)


def version_of(path: Path) -> Version | None:
    """What tells a bundle from another at the same path: where it lies, and its files; None where there is none.

    Args:
        path: of a bundle, perhaps a link.
    """
    try:
        folder = path.resolve()
        with os.scandir(folder) as entries:
            files = [(each.name, each.stat()) for each, _ in zip(entries, range(_MOST_FILES), strict=False)]
    except OSError:
        return None
    return (folder, *sorted((name, about.st_ino, about.st_size, about.st_mtime_ns) for name, about in files))
