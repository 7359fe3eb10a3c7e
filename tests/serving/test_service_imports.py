"""The service in a fresh process: no training library is ever loaded in it, and a bundle that is gone is no crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import Tone, WriteWav

_SCRIPT = """
import asyncio, json, sys
import httpx
from serving import service

service.EmotionService.inner()
app = service.RequestMiddleware(service.ROUTES, service.WORKER, service.AUTH, service.ROUTES)

async def post():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        return await client.post("/v1/predict", content=open(sys.argv[1], "rb").read())

answer = asyncio.run(post())
service.WORKER.engine.close()
heavy = {"av", "torch", "torchaudio", "lightning", "transformers", "onnx", "timm", "ray", "training", "export"}
from bentoml._internal.utils.analytics import usage_stats
telemetry = usage_stats.do_not_track()
print(json.dumps([answer.status_code, answer.json()["label"], sorted(heavy & set(sys.modules)), telemetry]))
"""


def test_the_service_answers_without_torch_and_with_telemetry_off(
    tiny_bundle: Path, tone: Tone, write_wav: WriteWav, tmp_path: Path
) -> None:
    clip = write_wav(tmp_path / "clip.wav", tone(1.0))
    environment = {**os.environ, "EMOTIONS_BUNDLE": str(tiny_bundle), "EMOTIONS_DEVICE": "cpu"}
    environment.pop("BENTOML_DO_NOT_TRACK", None)
    command = [sys.executable, "-c", _SCRIPT, str(clip)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == '[200, "happy", [], true]'


_GONE = """
from starlette.testclient import TestClient
from serving.service import EmotionService

with TestClient(EmotionService.to_asgi()) as client:
    print(client.get("/readyz").status_code, client.post("/v1/predict", content=b"x").status_code)
    print(client.post("/predict", content=b"x").json()["error"]["code"])
"""


def test_a_worker_whose_bundle_is_gone_says_so_and_stays_not_ready(tmp_path: Path) -> None:
    environment = {**os.environ, "EMOTIONS_BUNDLE": str(tmp_path / "gone")}
    command = [sys.executable, "-c", _GONE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["503 503", "not_ready"]
    assert f"cannot load the bundle: {tmp_path / 'gone'}: is not a bundle (no such folder)" in done.stderr
    assert "Traceback" not in done.stderr
