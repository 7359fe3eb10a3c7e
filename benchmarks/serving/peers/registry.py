"""Which peers there are, and how each is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.serving.peers.environments import environment, sources
from serving.benchmark.driver.target import OURS, Api

_HERE = "benchmarks.serving.peers"
_BOUNDARY = "3f1c7c0e9a"


@dataclass(frozen=True)
class Peer:
    """Another server.

    Attributes:
        name: as the report calls it.
        module: of its adapter.
        api: how it takes recordings.
        ready: path that answers 200 when it is.
        requirements: pinned packages of its environment; none for BentoML's, which is ours.
    """

    name: str
    module: str
    api: Api
    ready: str
    requirements: tuple[str, ...] = ()

    def command(self, *, install: bool) -> list[str]:
        """What starts it, all but the port.

        Raises:
            EmotionsError: its environment is not there.
        """
        if not self.requirements:
            target = f"{_HERE}.{self.module}:Batchable"
            return [sys.executable, "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port"]
        python = environment(self.module.removesuffix("_app"), self.requirements, install=install)
        return [str(python), "-m", f"{_HERE}.{self.module}"]

    def settings(self, settings: Mapping[str, str], scratch: Path) -> dict[str, str]:
        """Variables of its environment: those of the service, and where our packages are.

        Args:
            settings: of our service, by variable.
            scratch: folder for links to our packages.
        """
        telemetry = {"BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0"}
        return {**settings, **telemetry, **({"PYTHONPATH": str(sources(scratch))} if self.requirements else {})}


def _form(content: bytes) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    return head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()


_RAW = replace(OURS, path="/predict")
"""A body as it is."""
_FORM = replace(_RAW, content_type=f"multipart/form-data; boundary={_BOUNDARY}", body=_form)
"""A form's field ``files``."""
_LISTED = replace(_FORM, probabilities=lambda answer: answer[0]["probabilities"])
"""BentoML's batchable endpoints: a list for a list."""

PEERS = (
    Peer("BentoML batchable", "batchable", _LISTED, "/readyz"),
    Peer("LitServe", "litserve_app", _FORM, "/health", ("litserve==0.2.19", "python-multipart==0.0.34")),
    Peer("FastAPI", "fastapi_app", _RAW, "/ready", ("fastapi==0.163.2", "uvicorn[standard]==0.54.0")),
    Peer("Ray Serve", "ray_serve_app", _RAW, "/predict", ("ray[serve]==2.60.0",)),
)
