"""LitServe, as its documentation has it: ``python -m benchmarks.serving.peers.litserve_app PORT``."""

from __future__ import annotations

import sys
from typing import Any

import litserve

from benchmarks.serving.peers.model import MAX_BATCH, Model


class Api(litserve.LitAPI):  # type: ignore[misc]  # litserve is not installed where types are checked
    """Recordings in, probabilities out, by LitServe's own batcher."""

    def setup(self, device: str) -> None:  # noqa: ARG002  # litserve's signature
        """Load the model."""
        self.model = Model()

    def decode_request(self, request) -> bytes:  # type: ignore[no-untyped-def]  # any annotation is taken for a schema
        """The recording of a form."""
        content: bytes = request["files"].file.read()
        return content

    def predict(self, contents: list[bytes]) -> list[dict[str, Any]]:
        """Classify the recordings of one batch."""
        return self.model.answer(contents)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """The answer to one of them."""
        return output


if __name__ == "__main__":
    # No waiting for a batch to fill: so it is fastest both alone and under load.
    server = litserve.LitServer(Api(max_batch_size=MAX_BATCH, batch_timeout=0.0), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
