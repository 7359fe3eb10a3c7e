"""FastAPI with ONNX Runtime, as most write it: ``python -m benchmarks.serving.peers.fastapi_app PORT``, no batching."""

from __future__ import annotations

import sys
from typing import Any

import fastapi
import uvicorn
from starlette.concurrency import run_in_threadpool

from benchmarks.serving.peers.model import Model

app = fastapi.FastAPI()
_models: list[Model] = []


@app.get("/ready")  # type: ignore[untyped-decorator]
def ready() -> str:
    """Say that the model is loaded."""
    return "ready"


@app.post("/predict")  # type: ignore[untyped-decorator]
async def predict(request: fastapi.Request) -> dict[str, Any]:
    """Classify one recording, off the event loop."""
    content = await request.body()
    return (await run_in_threadpool(_models[0].answer, [content]))[0]


if __name__ == "__main__":
    _models.append(Model())
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
