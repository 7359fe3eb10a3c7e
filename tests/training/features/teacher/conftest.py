"""Another teacher of the tiny corpus: a few operators, so that it opens at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import make_tiny_bundle

MakeTeacher = Callable[..., Path]


@pytest.fixture
def make_teacher(tmp_path: Path) -> MakeTeacher:
    """``make_teacher(**targets)``: a bundle with these targets and labels, by default those of the corpus."""

    def make(name: str = "teacher", **targets: list[str]) -> Path:
        known = {"state": ["neutral", "negative"], "emotion": ["wild", "calm"]}
        return make_tiny_bundle(tmp_path / name, pooling="coverage", targets=targets or known)

    return make
