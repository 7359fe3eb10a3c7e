"""``bentoml build``: offline, and what it packs serves from anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import emotions
from tests.servers import REPOSITORY, free_port, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """BentoML's home with a Bento in it, built where no network can be reached."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("emotions", "serving"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "requirements.serve.lock"):
        shutil.copy(REPOSITORY / name, folder / name)
    shutil.copytree(tiny_bundle, folder / "bundles" / "mine")
    nowhere = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    environment = {**os.environ, **nowhere, **variables(folder), "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "bentoml", "build"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "home"


def variables(folder: Path) -> dict[str, str]:
    return {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "True"}


def test_it_packs_the_service_a_bundle_and_pinned_packages(home: Path) -> None:
    (bento,) = [path.parent for path in home.glob("bentos/emotions/*/bento.yaml")]
    assert (bento / "src" / "serving" / "service.py").is_file()
    assert (bento / "src" / "bundles" / "mine" / "manifest.json").is_file()
    assert not [*bento.rglob("__pycache__")]
    assert not (bento / "src" / "training").exists()
    packed = (bento / "env" / "python" / "requirements.txt").read_text(encoding="utf-8")
    assert packed.startswith((REPOSITORY / "requirements.serve.lock").read_text(encoding="utf-8").splitlines()[0])
    assert "torch==" not in packed


def test_it_serves_from_anywhere(home: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    command = [sys.executable, "-m", "bentoml", "serve", "emotions:latest"]
    with serving(command, tmp_path, free_port(), **variables(home.parent)) as server:
        assert httpx.get(f"{server.url}/v1/model", timeout=20).json()["bundle"] == emotions.load(tiny_bundle).bundle.id
