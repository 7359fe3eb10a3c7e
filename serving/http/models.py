"""Which model a request is for: the default one, or the one that its path names."""

from __future__ import annotations

from starlette.requests import Request

from serving.http.body.arriving import arriving_body
from serving.http.errors import Body, RequestError
from serving.telemetry.requests import request_context
from serving.worker.engine import Engine
from serving.worker.models import ServedModel
from serving.worker.state import WorkerState


def named_model(name: str, worker: WorkerState) -> ServedModel:
    """The model of a name, loaded or not.

    Args:
        name: empty for the default one.
        worker: the worker's state.

    Raises:
        RequestError: 404, there is none of that name.
    """
    served = worker.models.find(name)
    if served is None:
        others = ", ".join(repr(each.name) for each in worker.models)
        raise RequestError(404, "not_found", f"no such model; this is {others}")
    return served


def engine_for(request: Request, worker: WorkerState) -> Engine:
    """The engine that answers a request: the one that has admitted it, even where another takes its place meanwhile.

    Args:
        request: a request that came through ``RequestMiddleware``.
        worker: the worker's state.

    Raises:
        RequestError: 404, there is no such model.
        NotReady: it is not loaded.
    """
    body = arriving_body(request.scope)
    return body.engine if body else named_model(request_context(request.scope).model, worker).loaded_engine()


def model_list(worker: WorkerState) -> list[Body]:
    """Each model's name and bundle, and whether it answers, or why not.

    Args:
        worker: the worker's state.
    """
    return [_entry(each, worker) for each in worker.models]


def _entry(served: ServedModel, worker: WorkerState) -> Body:
    engine = served.engine
    ready = engine is not None and not engine.lost and not worker.drain.draining
    return {
        "name": served.name,
        "default": served is worker.models.default,
        "ready": ready,
        "bundle": None if engine is None else engine.predictor.bundle.id,
        **({} if ready else {"reason": served.fault or (engine.lost if engine else "") or "not ready"}),
    }
