"""BentoML's plain batchable endpoint, as its documentation has it.

``bentoml serve benchmarks.serving.peers.batchable:Batchable`` is what the benchmark starts; nobody else should.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bentoml

from benchmarks.serving.peers.model import MAX_BATCH, Model


@bentoml.service(http={"host": "127.0.0.1"}, workers=1, traffic={"timeout": 60})
class Batchable:
    """Recordings in, probabilities out, by BentoML's own batcher."""

    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=60_000)  # type: ignore[untyped-decorator]
    def predict(self, files: list[Path]) -> list[dict[str, Any]]:
        """Classify the recordings of one batch."""
        return self.model.answer(files)
