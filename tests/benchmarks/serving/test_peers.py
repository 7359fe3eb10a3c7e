"""Environments and adapters of peers, without a download: a peer that cannot run is a reason, not an error."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from benchmarks.serving.peers import environments
from benchmarks.serving.peers.environments import environment, pinned, sources
from benchmarks.serving.peers.model import Model
from benchmarks.serving.peers.registry import PEERS
from emotions.errors import EmotionsError
from serving.benchmark.scenarios import from_checkout
from tests.conftest import Tone, WriteWav


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_every_requirement_is_pinned_and_the_model_runs_in_the_versions_of_ours() -> None:
    for peer in PEERS:
        assert all("==" in each for each in peer.requirements), peer.name
    assert f"numpy=={version('numpy')}" in pinned(["other==1.0"])
    assert pinned(["other==1.0"])[0] == "other==1.0"


def test_an_environment_is_made_once_and_only_when_asked(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    made: list[list[str]] = []
    monkeypatch.setattr(environments, "_run", lambda command: made.append([*command]) or _made(command))
    with pytest.raises(EmotionsError, match="add --install-peers"):
        environment("other", ["other==1.0"], install=False)
    assert made == []
    python = environment("other", ["other==1.0"], install=True)
    assert python.is_relative_to(cache / "peers")
    assert "other==1.0" in made[-1]
    count = len(made)
    assert environment("other", ["other==1.0"], install=False) == python
    assert environment("other", ["other==1.0"], install=True) == python
    assert len(made) == count
    with pytest.raises(EmotionsError, match="is not made"):
        environment("other", ["other==1.1"], install=False)


def _made(command: list[str]) -> None:
    """What making an environment leaves: its folder, which the last argument of its first command names."""
    if command[1] in {"venv", "-m"} and command[-1].startswith("/"):
        Path(command[-1]).mkdir(parents=True)


def test_an_environment_that_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; print('no such package', file=sys.stderr); sys.exit(1)"
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda _, **options: run([sys.executable, "-c", script], **options))
    with pytest.raises(EmotionsError, match=r"cannot be made \(no such package\)"):
        environment("other", ["other==1.0"], install=True)


def test_an_environment_sees_our_packages_and_nothing_else(tmp_path: Path) -> None:
    folder = sources(tmp_path)
    assert sorted(each.name for each in folder.iterdir()) == ["benchmarks", "emotions", "serving"]
    assert sources(tmp_path) == folder


def test_the_model_of_a_peer_answers_as_ours(
    tiny_bundle: Path, tmp_path: Path, tone: Tone, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch
) -> None:
    import emotions

    for name, value in {"BUNDLE": str(tiny_bundle), "VARIANT": "fp32", "DEVICE": "cpu", "THREADS": "1"}.items():
        monkeypatch.setenv(f"EMOTIONS_{name}", value)
    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for seconds, file in zip((1.0, 2.5), files, strict=True):
        write_wav(file, tone(seconds))
    answers = Model().answer([files[0].read_bytes(), files[1]])
    predictor = emotions.load(tiny_bundle, device="cpu", threads=1)
    for file, answer in zip(files, answers, strict=True):
        expected = predictor.predict(file).probabilities
        for target, scores in expected.items():
            assert answer["probabilities"][target] == pytest.approx(scores, abs=1e-6)


def test_an_adapter_imports_nothing_that_its_environment_lacks() -> None:
    # What the model of a peer needs must be among the pinned packages: neither bentoml nor torch nor pyarrow.
    lacking = ("bentoml", "torch", "pyarrow", "httptools", "typer", "httpx")
    code = f"import sys, benchmarks.serving.peers.model; print([each for each in {lacking} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_runtimes_that_cannot_be_measured_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_checkout, "find_spec", lambda _: None)
    told = from_checkout.backends(tmp_path, 1, quick=True)
    assert told == {
        "rows": [],
        "not_run": {"all runtimes": "torch is not installed; pip install 'emotions-toolkit[export]'"},
    }
