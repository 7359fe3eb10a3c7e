"""Fixtures of the tests of Hugging Face classifiers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from emotions.cli import run
from tests.conftest import BuildOnce
from tests.export.huggingface.checkpoints import make_classifier

Checkpoint = Callable[[str], Path]


@pytest.fixture(scope="session")
def classifier(build_once: BuildOnce) -> Checkpoint:
    """``classifier(name)``: the folder of a tiny classifier, written once."""
    return lambda name: build_once(f"classifier-{name}", lambda folder: make_classifier(folder / name, name))


@pytest.fixture(scope="session")
def hf_bundle(classifier: Checkpoint, build_once: BuildOnce) -> Path:
    """The bundle of a tiny wav2vec2 classifier, by the command; not to be changed."""

    def build(folder: Path) -> Path:
        assert run(["export", "--from", str(classifier("wav2vec2-group")), "--output", str(folder / "bundle")]) == 0
        return folder / "bundle"

    return build_once("hf_bundle", build)
