"""Like voices stand side by side in the picture, whatever their names are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.metrics.voice_matrix import MOST, _alike_beside, draw_voices


@pytest.mark.parametrize("count", [1, 2, 5, MOST])
def test_a_picture_is_drawn(count: int, tmp_path: Path) -> None:
    places = np.random.default_rng(0).random((count, 3))
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    names = ["$x^{" if each == 0 else "имя" * each for each in range(count)]
    draw_voices(tmp_path / "voices.png", names, distances, [(names[0], names[-1])])
    assert (tmp_path / "voices.png").read_bytes().startswith(b"\x89PNG")


def test_like_voices_are_neighbours() -> None:
    groups = np.array([0, 1, 2, 0, 1, 2, 0])
    order = _alike_beside(np.where(groups[:, None] == groups, 0.1, 1.0) - 0.1 * np.eye(7))
    assert (np.diff(groups[order]) != 0).sum() == 2
