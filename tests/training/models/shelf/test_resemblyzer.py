"""Resemblyzer's checkpoint: weights alone are read of it, and the encoder's embeddings are those of the package."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from emotions.cli import build_app
from emotions.errors import ConfigError
from tests.conftest import with_index
from training.models.frontends.encoders import load_encoder
from training.models.shelf.catalogue import RESEMBLYZER
from training.models.shelf.fetch import fetch, place_of
from training.models.shelf.resemblyzer import convert_resemblyzer, proof_signals, told_by
from training.models.voice_encoder import VoiceEncoder, embed, load_voice_encoder


def checkpoint(state: Any) -> bytes:
    content = io.BytesIO()
    torch.save({"step": 1, "model_state": state, "optimizer_state": {}}, content)
    return content.getvalue()


class Payload:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.file),)


def test_a_payload_in_the_pickle_is_not_executed(tmp_path: Path) -> None:
    ran, folder = tmp_path / "ran", tmp_path / "encoder"
    folder.mkdir()
    for artefact in (checkpoint(Payload(ran)), pickle.dumps({"model_state": Payload(ran)}, protocol=2)):
        with pytest.raises(ConfigError, match="the artefact is no checkpoint of weights"):
            convert_resemblyzer(artefact, folder)
    assert not ran.exists()
    assert not any(folder.iterdir())


@pytest.mark.parametrize("artefact", [b"", b"weights" * 99, checkpoint([1, 2]), checkpoint({"linear.weight": "text"})])
def test_what_is_no_checkpoint_is_refused(artefact: bytes, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the artefact is no checkpoint of weights"):
        convert_resemblyzer(artefact, tmp_path)


def test_weights_of_other_shapes_are_refused(tmp_path: Path) -> None:
    state = VoiceEncoder().state_dict()
    for changed in ({**state, "linear.weight": torch.zeros(256, 255)}, {"linear.weight": torch.zeros(256, 256)}):
        with pytest.raises(ConfigError, match="the artefact's weights are not those of its encoder"):
            convert_resemblyzer(checkpoint(changed), tmp_path)


def test_other_weights_of_the_same_shapes_do_not_pass_the_proof(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the encoder differs from the package's code by"):
        convert_resemblyzer(checkpoint(VoiceEncoder().state_dict()), tmp_path)
    assert not any(tmp_path.iterdir())


def test_it_is_no_encoder_of_frames() -> None:
    with pytest.raises(ConfigError, match=r"resemblyzer: is a speaker encoder.*there are smart-turn-v3\.2"):
        load_encoder("resemblyzer")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, where an index here has it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(folder), RESEMBLYZER.package]
    if subprocess.run(command, env=with_index(), capture_output=True, check=False, timeout=300).returncode:
        pytest.skip(f"no index here has {RESEMBLYZER.package}")
    return folder / RESEMBLYZER.wheel


@pytest.mark.slow
def test_it_is_fetched_proven_and_loaded(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path))
    told = CliRunner().invoke(build_app(), ["encoders", "fetch", "resemblyzer", "--from", str(wheel)])
    assert told.exit_code == 0, told.output
    assert "next: emotions data check FOLDER --voices" in told.output
    folder = place_of(RESEMBLYZER)
    assert "equal to those of the package's own code" in json.loads((folder / "provenance.json").read_text())["proof"]
    first, *others = (told_by(each) for each in embed(load_voice_encoder(folder), proof_signals()))
    assert all(np.abs(first - other).max() > 0.1 for other in others)


@pytest.mark.slow
def test_an_altered_wheel_is_refused(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path / "cache"))
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    altered = tmp_path / wheel.name
    altered.write_bytes(content)
    with pytest.raises(ConfigError, match=r"is not the Resemblyzer-0\.1\.4.* another version, or altered"):
        fetch(RESEMBLYZER, altered)
    assert not place_of(RESEMBLYZER).exists()
