"""A bundle to the registry of a real MLflow server, back, and loaded by MLflow as a pyfunc model."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import soundfile

import emotions
from tests.conftest import Tone
from tests.emotions.bundle.stores.test_transfer import same, with_card
from tests.environments import python_with, run
from tests.servers import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
MLFLOW = "mlflow==3.17.2"
PUSH = """
from pathlib import Path
from emotions.bundle.transfer import pull, push
url = push(Path("mine"), "mlflow://tiny")
print(url)
pull(url, Path("back"))
pull("mlflow://tiny", Path("latest"))
"""
LOAD = """
import json, mlflow
from mlflow import MlflowClient
print(json.dumps({
    "rows": mlflow.pyfunc.load_model("models:/tiny/1").predict(["clip.wav"]),
    "card": MlflowClient().get_model_version("tiny", "1").description,
}))
"""
ALTER = """
import sys
from pathlib import Path
from emotions.bundle.transfer import pull
from emotions.errors import BundleError
[model] = Path("artifacts").rglob("data/*/model.onnx")
model.write_bytes(model.read_bytes()[:-1] + b"\\0")
try:
    pull("mlflow://tiny/1", Path("altered"))
except BundleError as error:
    print(error)
try:
    pull("mlflow://tiny/7", Path("altered"))
except BundleError as error:
    print(error)
"""


@contextlib.contextmanager
def mlflow_server(python: Path, folder: Path) -> Iterator[str]:
    """The address of a server with its database and files in a folder."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(python), "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    with (folder / "mlflow.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and server.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                    break
            time.sleep(0.5)
        else:
            pytest.fail((folder / "mlflow.log").read_text()[-3000:])
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(20)


def test_a_bundle_is_registered_pulled_and_loaded(tmp_path: Path, tone: Tone) -> None:
    python = python_with(MLFLOW)
    bundle = with_card(tmp_path / "mine")
    soundfile.write(tmp_path / "clip.wav", tone(1.0), 16_000)
    with mlflow_server(python, tmp_path) as url:
        settings = {"MLFLOW_TRACKING_URI": url}
        assert run(python, PUSH, tmp_path, **settings).splitlines()[-1] == "mlflow://tiny/1"
        assert same(tmp_path / "back", bundle)
        assert same(tmp_path / "latest", bundle)
        found = json.loads(run(python, LOAD, tmp_path, **settings).splitlines()[-1])
        expected = emotions.load(bundle, device="cpu").predict(tmp_path / "clip.wav")
        assert found["card"] == "# A card\n"
        assert found["rows"][0]["label"] == expected.label
        assert found["rows"][0]["probabilities"]["emotion"] == pytest.approx(
            expected.probabilities["emotion"], abs=1e-4
        )
        refused = run(python, ALTER, tmp_path, **settings)
        assert "model.onnx is not the file that was exported" in refused
        assert "manifest.json cannot be fetched" in refused
        assert not (tmp_path / "altered").exists()
