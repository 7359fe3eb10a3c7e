"""BentoML's internals: what the service takes of them is there, and nothing else of ours reaches for them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TRACKING = """
from bentoml._internal.utils.analytics import usage_stats
from serving.worker.bentoml_internals import disable_usage_tracking
assert not usage_stats.do_not_track()
disable_usage_tracking()
assert usage_stats.do_not_track()
"""
TRACER = """
from serving.worker.bentoml_internals import tracer_provider
with tracer_provider().get_tracer("test").start_as_current_span("one") as span:
    assert span.get_span_context() is not None
"""
HOST = """
from bentoml._internal.configuration.containers import BentoMLContainer
from serving.worker.bentoml_internals import configured_host
BentoMLContainer.http.host.set("10.1.2.3")
assert configured_host() == "10.1.2.3"
"""
SERVER = """
import asyncio, os
import uvicorn
from serving.worker.bentoml_internals import serve_by
class Protocol(asyncio.Protocol): pass
class WebSocket(asyncio.Protocol): pass
for trusted, expected in ((), ""), (("10.0.0.1", "::1"), "10.0.0.1,::1"):
    serve_by(Protocol, WebSocket, trusted)
    config = uvicorn.Config("serving.worker.bentoml_internals:serve_by", lifespan="off", log_config=None)
    config.load()
    assert config.http_protocol_class is Protocol
    assert config.ws_protocol_class is WebSocket
    assert config.forwarded_allow_ips == expected, config.forwarded_allow_ips
"""


@pytest.mark.parametrize(
    "script", [TRACKING, TRACER, HOST, SERVER], ids=["usage tracking", "tracer provider", "host", "server"]
)
def test_what_the_service_takes_is_there(script: str) -> None:
    # In a process of its own: importing BentoML warns, and its configuration is global.
    environment = {name: value for name, value in os.environ.items() if name not in ("BENTOML_DO_NOT_TRACK", "CI")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_one_module_reaches_for_internals() -> None:
    reaching = {
        path.relative_to(ROOT).as_posix()
        for package in ("emotions", "serving", "export", "training")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("bentoml._internal", "_bentoml"))
    }
    assert reaching == {"serving/worker/bentoml_internals.py"}
