"""Which peers there are, and how each is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.peers.environments import environment, sources
from serving.benchmark.driver.target import FORM, LISTED, RAW, Api

_HERE = "benchmarks.serving.peers"


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
        """Variables of its environment: those of the service, and where our packages are."""
        telemetry = {"BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0"}
        return {**settings, **telemetry, **({"PYTHONPATH": str(sources(scratch))} if self.requirements else {})}


PEERS = (
    Peer("BentoML batchable", "batchable", LISTED, "/readyz"),
    Peer("LitServe", "litserve_app", FORM, "/health", ("litserve==0.2.19", "python-multipart==0.0.34")),
    Peer("FastAPI", "fastapi_app", RAW, "/ready", ("fastapi==0.163.2", "uvicorn[standard]==0.54.0")),
    Peer("Ray Serve", "ray_serve_app", RAW, "/predict", ("ray[serve]==2.60.0",)),
)
