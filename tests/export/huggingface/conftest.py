"""Fixtures of the tests of Hugging Face classifiers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from emotions.cli import run
from tests.export.huggingface.checkpoints import make_classifier

Checkpoint = Callable[[str], Path]


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """``classifier(name)``: the folder of a tiny classifier, written once."""
    root, made = tmp_path_factory.mktemp("classifiers"), dict[str, Path]()

    def find(name: str) -> Path:
        if name not in made:
            made[name] = make_classifier(root / name, name)
        return made[name]

    return find


@pytest.fixture(scope="session")
def hf_bundle(classifier: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a tiny wav2vec2 classifier, by the command; not to be changed."""
    folder = tmp_path_factory.mktemp("hf") / "bundle"
    assert run(["export", "--hf", str(classifier("wav2vec2-group")), "--output", str(folder)]) == 0
    return folder
