"""Ray Serve, as its documentation has it: ``python -m benchmarks.serving.peers.ray_serve_app PORT``."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from benchmarks.serving.peers.model import MAX_BATCH, Model


@serve.deployment(max_ongoing_requests=256)
class Api:
    """Recordings in, probabilities out, by Ray Serve's own batcher."""

    def __init__(self) -> None:
        self.model = Model()

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0.0)
    async def classify(self, contents: list[bytes]) -> list[dict[str, Any]]:
        """Classify the recordings of one batch."""
        return self.model.answer(contents)

    async def __call__(self, request: Request) -> Any:
        """BatchResult one request; one without a recording asks whether it is ready."""
        if request.method == "GET":
            return PlainTextResponse("ready")
        return await self.classify(await request.body())


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Api.bind(), route_prefix="/predict")  # type: ignore[attr-defined]  # the decorator adds it
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    over.wait()
    serve.shutdown()  # type: ignore[no-untyped-call]
    ray.shutdown()
