"""A bundle without the toolkit: the model card's lines, TorchScript alone, and Node.js on a WAV file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import emotions

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NODE = ROOT / "docs" / "node"


def snippet(word: str) -> str:
    """The Python block of the page on bundles that holds a word."""
    blocks = re.findall(
        r"```py\n(.*?)```", (ROOT / "docs" / "how-to" / "bundles.md").read_text(encoding="utf-8"), re.DOTALL
    )
    (found,) = [block for block in blocks if word in block]
    return str(found)


def answered(code: str, folder: Path, clip: Path) -> list[float]:
    """Run a snippet as it stands, but for its paths, in a process where the toolkit cannot be imported."""
    code = code.replace("bundles/mine", str(folder)).replace("clip.wav", str(clip))
    head = "import sys, warnings; warnings.simplefilter('ignore')\n"
    head += "".join(f"sys.modules[{name!r}] = None\n" for name in ("emotions", "training", "export", "onnx"))
    done = subprocess.run(
        [sys.executable, "-c", head + code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    return [float(number) for number in re.findall(r"\d\.\d+(?:e-\d+)?", done.stdout)]


@pytest.fixture
def clip(corpus: Path) -> Path:
    """A recording that is shorter than the window."""
    return next(path for path in sorted(corpus.glob("*.wav")) if soundfile.info(path).frames < 8_000)


@pytest.mark.parametrize("word", ["onnxruntime.InferenceSession", "torch.jit.load"])
def test_the_readmes_lines_run_without_the_toolkit(word: str, full: Path, clip: Path) -> None:
    code = snippet(word)
    assert len(code.strip().splitlines()) <= 7
    expected = emotions.load(full, device="cpu", variant="fp32").predict(clip).probabilities["эмоция"]
    found = answered(code.replace("80000", "8000").replace('"emotion"', '"эмоция"'), full, clip)
    np.testing.assert_allclose(found[:2], list(expected.values()), atol=2e-4)


def test_node_answers_as_python_does(full: Path, clip: Path, tmp_path: Path) -> None:
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("Node.js is not installed")
    shutil.copytree(NODE, tmp_path / "node")
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    installed = subprocess.run(command, cwd=tmp_path / "node", capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip("the npm registry cannot be reached")
    done = subprocess.run(
        ["node", "classify.mjs", str(full), str(clip)],
        cwd=tmp_path / "node",
        capture_output=True,
        text=True,
        check=True,
    )
    expected = emotions.load(full, device="cpu", variant="fp32").predict(clip).probabilities
    found = json.loads(done.stdout)
    assert found.keys() == expected.keys()
    for target, scores in expected.items():
        np.testing.assert_allclose([found[target][label] for label in scores], list(scores.values()), atol=1e-5)
    shutil.rmtree(tmp_path / "node")


def test_the_lock_names_no_registry_and_every_hash() -> None:
    packages = json.loads((NODE / "package-lock.json").read_text())["packages"]
    fetched = {name: package for name, package in packages.items() if name}
    assert fetched
    assert all("resolved" not in package and package["integrity"].startswith("sha512-") for package in fetched.values())
