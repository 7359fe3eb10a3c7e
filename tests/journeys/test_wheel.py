"""The wheel in a clean environment: what a user installs trains and serves without the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from emotions.files.json_text import write_json
from tests.conftest import BuildOnce
from tests.servers import REPOSITORY, free_port, serving

pytestmark = pytest.mark.slow

UV = str(Path(sys.executable).with_name("uv"))


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(build_once: BuildOnce) -> Path:
    def build(folder: Path) -> Path:
        options = ("--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder)
        run(UV, "build", *options, ".", cwd=REPOSITORY)
        (built,) = folder.glob("*.whl")
        return built

    return build_once("wheel", build)


def environment(folder: Path, lock: str, wheel: Path) -> Path:
    """A virtual environment with what the lock pins and the wheel; returns its ``bin``."""
    run(UV, "venv", "--quiet", "--python", sys.executable, folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    run(
        UV,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--require-hashes",
        "-r",
        REPOSITORY / lock,
        cwd=folder.parent,
    )
    run(UV, "pip", "install", "--quiet", "--python", python, "--no-deps", wheel, cwd=folder.parent)
    return folder / "bin"


def test_the_wheel_holds_the_packages_and_nothing_of_the_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {
        "emotions",
        "training",
        "export",
        "serving",
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {f"emotions/files/html/templates/{name}" for name in ("report.html", "macros.html", "style.css")} <= {*names}


@pytest.mark.timeout(2700)
def test_the_wheel_trains_and_its_bundle_is_served_where_there_is_no_torch(wheel: Path, tmp_path: Path) -> None:
    full = environment(tmp_path / "full", "requirements.lock", wheel)
    run(full / "emotions", "data", "demo", "data/demo", cwd=tmp_path)
    train = {
        "type": "train",
        "model": "SpectrogramCnnClassifier",
        "model_architecture": {"backbone": "test_efficientnet"},
        # Enough that the proof can tell recordings apart, whatever the last digits of the machine are.
        "learn_params": {"padding_sec": 2, "spectrogram_size": 64, "max_epoch": 3},
        "dataset": {"path": "data/demo", "speaker": {"pattern": r"/(\d\d)_"}},
    }
    write_json(tmp_path / "run.json", {"pipeline": [train, {"type": "export", "output": "bundles/wheel"}]})
    run(full / "emotions", "train", "--config-file", "run.json", cwd=tmp_path)

    slim = environment(tmp_path / "slim", "requirements.serve.lock", wheel)
    found = run(slim / "python", "-c", "import importlib.util as u; print(u.find_spec('torch'))", cwd=tmp_path)
    assert found.strip() == "None"
    run(slim / "emotions", "predict", "data/demo", "--bundle", "bundles/wheel", "--output", "t.csv", cwd=tmp_path)
    with serving([str(slim / "emotions"), "serve", "--bundle", "bundles/wheel"], tmp_path, free_port()) as server:
        clip = next((tmp_path / "data" / "demo").rglob("*.wav")).read_bytes()
        assert server.post(clip).status_code == 200
    missing = subprocess.run(
        [str(slim / "emotions"), "train", "--config-file", "run.json", "--set", "pipeline.1.output=bundles/other"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert missing.returncode == 2
    assert "pip install 'emotions-toolkit[train]'" in missing.stderr
