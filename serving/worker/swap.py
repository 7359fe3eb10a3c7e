"""Changes of bundles while the service runs: load the new one, let it answer, and let the old one finish its requests.

What is followed is the path that a setting names: a link that is pointed elsewhere, or a folder that is replaced. A
new bundle takes over only once its files, its probe and a first run have passed; else the old one goes on, and the new
one is tried again when it changes, or when another worker of the server has taken it.
"""

from __future__ import annotations

import asyncio
import logging

from emotions.errors import EmotionsError
from serving.settings import Settings
from serving.worker.engine import Engine
from serving.worker.last_taken import Version, last_taken, note_taken, taken_of, version_of
from serving.worker.loading import OpenPredictor, new_engine, reason_for_clients
from serving.worker.models import ServedModel
from serving.worker.state import WorkerState

_LOOK_SEC = 0.05
_AGAIN_SEC = 30.0
"""Before a bundle that was refused here, and taken by another worker, is tried again: memory was short, perhaps."""
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
        self._refused: dict[ServedModel, float] = {}  # when
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
        if found is None or (found == self._seen[served] and not self._is_due_again(served, found)):
            return
        self._seen[served] = found
        self._refused.pop(served, None)
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
        await asyncio.to_thread(note_taken, served.source, taken_of(found, served.name))

    def _is_due_again(self, served: ServedModel, found: Version) -> bool:
        """Whether a version that was refused here is what another worker serves, and has had its time."""
        refused = self._refused.get(served)
        waited = refused is not None and asyncio.get_running_loop().time() - refused >= _AGAIN_SEC
        return waited and last_taken(served.source) == taken_of(found, served.name)

    def _load(self, served: ServedModel) -> Engine:
        newer = ServedModel(served.name, served.source.resolve(), served.source)
        return new_engine(newer, self._worker, self._settings, self._index, self._opener)

    def _refuse(self, served: ServedModel, error: Exception) -> None:
        logger.error("the new bundle of %r is refused, the old one goes on: %s", served.name, error)
        self._refused[served] = asyncio.get_running_loop().time()
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
