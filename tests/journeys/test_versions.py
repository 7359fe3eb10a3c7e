"""Several versions of a model in one real server: named, broken, shadowed, swapped under load."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import httpx
import pytest
import soundfile

from tests.conftest import Tone
from tests.servers import running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clip(tone: Tone) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(1.0), 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def test_a_broken_third_bundle_does_not_hurt_the_two(
    tiny_bundle: Path, affect_bundle: Path, tmp_path: Path, clip: bytes
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_bundle, broken)
    (broken / "model.onnx").write_bytes(b"no graph")
    bundles = f"tiny={tiny_bundle},affect={affect_bundle},third={broken}"
    with (
        running(tmp_path, EMOTIONS_BUNDLES=bundles, EMOTIONS_WORKERS="2") as server,
        httpx.Client(timeout=20) as client,
    ):
        for _ in range(20):
            for name, dimensions in (("tiny", False), ("affect", True)):
                answer = client.post(f"{server.url}/v1/models/{name}/predict", content=clip)
                assert answer.status_code == 200
                assert ("values" in answer.json()) == dimensions
            refused = client.post(f"{server.url}/v1/models/third/predict", content=clip)
            assert refused.status_code == 503
            assert "model.onnx" in refused.json()["error"]["message"]
        assert server.post(clip).json()["bundle"] == client.get(f"{server.url}/v1/models/tiny").json()["bundle"]
        metrics = client.get(f"{server.url}/metrics").text
        assert 'emotions_model_ready{model="third"} 0.0' in metrics
        assert 'emotions_model_ready{model="affect"} 1.0' in metrics
        assert 'emotions_model_recordings_total{model="affect"} 20.0' in metrics
        assert client.get(f"{server.url}/readyz").status_code == 200
