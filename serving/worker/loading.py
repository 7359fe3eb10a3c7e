"""The models of a worker as the settings have them, and each loaded, or the reason why it is not."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from emotions.bundle.named import named_bundles
from emotions.errors import DeviceError, EmotionsError, OutOfMemory, first_line
from emotions.predictor import Predictor
from serving.settings import Settings
from serving.worker.engine import Engine
from serving.worker.last_taken import last_taken, note_taken, taken_of, version_of
from serving.worker.models import Models, ServedModel
from serving.worker.shadow import Shadow
from serving.worker.startup import BUNDLE_VARIABLE, SOURCE_VARIABLE, find_bundle, given_bundle, open_predictor, started
from serving.worker.state import WorkerState

OpenPredictor = Callable[[Settings, int], Predictor]
logger = logging.getLogger("bentoml.emotions")


def declared_models(settings: Settings) -> Models:
    """The models that settings name, none of them loaded. Raises as ``given_bundle``.

    Args:
        settings: the service's settings.
    """
    named = {name: ServedModel(name, path.resolve(), path) for name, path in named_bundles(settings.bundles).items()}
    checked = SOURCE_VARIABLE in os.environ  # by the process that started this one, whose settings a fork has as well
    source = Path(os.environ[SOURCE_VARIABLE]) if checked else given_bundle(settings)
    path = Path(os.environ[BUNDLE_VARIABLE]) if checked else find_bundle(settings)
    if not path.exists():  # removed since the service was started, and another in its place
        path = source.resolve()
    default = next((each for each in named.values() if each.source == source), ServedModel("", path, source))
    default.path = path
    return Models(default, named)


def load_model(served: ServedModel, worker: WorkerState, settings: Settings, index: int, opener: OpenPredictor) -> None:
    """Load a model and let it answer; where it does not load, note why: the others answer all the same.

    Args:
        served: the model.
        worker: the worker's state.
        settings: the service's settings.
        index: number of the worker, from 0.
        opener: loads a bundle, as ``open_predictor``.
    """
    try:
        engine = _newest_engine(served, worker, settings, index, opener)
    except EmotionsError as error:
        # The start-up check has passed for the default model, so what fails there is an accident. A worker that ended
        # would be restarted for ever: this one stays, and answers 503 with the reason.
        logger.error("cannot load the bundle: %s", error)
        if served is not worker.models.default or isinstance(error, (DeviceError, OutOfMemory)):
            served.fault = reason_for_clients(error, served)
        worker.metrics.models.ready.labels(served.name or "default").set(0)
        return
    served.engine, served.name = engine, engine.name
    worker.metrics.describe_bundle(engine.predictor)
    worker.metrics.models.ready.labels(engine.name).set(1)
    logger.info("serving %r", engine.predictor)
    if settings.drift_window and not engine.watches_drift:
        logger.info("drift is not watched: the bundle has no reference; emotions drift reference adds one")


def _newest_engine(
    served: ServedModel, worker: WorkerState, settings: Settings, index: int, opener: OpenPredictor
) -> Engine:
    """An engine of the bundle that other workers serve, where there is one and it passes; else as settings have it."""
    configured, taken = served.path, last_taken(served.source)
    served.name = served.name or (taken.name if taken else "")  # that of the first one stays in URLs and metrics
    if taken is not None and taken.path != configured:
        served.path = taken.path
        try:
            return new_engine(served, worker, settings, index, opener)
        except EmotionsError as error:
            served.path = configured
            logger.error("the bundle that was served last is refused, the configured one is tried: %s", error)
    engine = new_engine(served, worker, settings, index, opener)
    if taken is None and (version := version_of(served.path)) is not None:
        note_taken(served.source, taken_of(version, engine.name))
    return engine


def new_engine(
    served: ServedModel, worker: WorkerState, settings: Settings, index: int, opener: OpenPredictor
) -> Engine:
    """A warmed-up engine of a model, which does not answer yet. Args as ``load_model``; Raises as ``emotions.load``."""
    own = settings.model_copy(update={"bundle": served.path, "bundles": ()})
    return started(opener(own, index), settings, worker.metrics, worker.shared, served.name)


def load_shadow(worker: WorkerState, settings: Settings) -> None:
    """Load the shadow bundle that settings name; where it does not load, the service goes on without it.

    Args:
        worker: the worker's state; its default model is loaded, else there is nothing to shadow.
        settings: the service's settings.
    """
    if settings.shadow is None:
        return
    worker.metrics.shadow.ready.set(0)
    if worker.engine is None:
        return
    try:
        worker.engine.shadow = _shadow(worker.engine, settings, settings.shadow)
    except EmotionsError as error:
        logger.error("no shadow: %s", error)
        return
    worker.metrics.shadow.ready.set(1)
    logger.info("shadowed by %r", worker.engine.shadow.predictor)


def _shadow(engine: Engine, settings: Settings, path: Path) -> Shadow:
    own = {"bundle": path, "bundles": (), "device": "cpu", "variant": None, "threads": 1, "parallel_batches": 1}
    predictor = open_predictor(settings.model_copy(update={**own, "drift_window": 0}))
    shadow = Shadow(predictor, settings.shadow_share, engine.metrics.shadow)
    shadow.check(engine.predictor)
    return shadow


def reason_for_clients(error: EmotionsError, served: ServedModel) -> str:
    """Why a model is not there, without paths of this machine.

    Args:
        error: what its loading raised.
        served: the model.
    """
    reason = first_line(error)
    for path in (served.path, served.source, served.source.parent):
        reason = reason.replace(str(path), path.name)
    return reason
