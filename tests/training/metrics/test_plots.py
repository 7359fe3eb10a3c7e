"""Pictures: drawn without a display, in any script, with their words on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from training.metrics.classification import score
from training.metrics.plots import draw_confusion, draw_curves

pytestmark = pytest.mark.usefixtures("drawn")


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text of the pictures that are saved."""
    found: list[str] = []
    save = Figure.savefig

    def saving(figure: Figure, *args: object, **options: object) -> None:
        found.extend(text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))
        save(figure, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", saving)
    return found


@pytest.mark.parametrize("labels", [["angry", "sad"], ["гнев", "печаль"], ["愤怒", "悲伤"], ["a" * 30, "b" * 30]])
def test_confusion_matrix_in_any_script(labels: list[str], tmp_path: Path, texts: list[str]) -> None:
    path = tmp_path / "confusion.png"
    draw_confusion(path, {"emotion": score([0, 0, 1, 1], [0, 1, 1, 1], labels)}, "test set, by speaker")
    assert imread(path).shape[0] > 200
    assert {*labels, "test set, by speaker", "emotion: UAR 0.750, WA 0.750, 4 clips", "50%\n1"} <= {*texts}


def test_confusion_matrices_of_several_targets_with_an_absent_class(tmp_path: Path, texts: list[str]) -> None:
    many = [f"class {index}" for index in range(12)]
    draw_confusion(
        tmp_path / "c.png", {"emotion": score([0, 1], [0, 1], many), "state": score([0], [0], ["x", "y"])}, "test"
    )
    assert {"emotion: UAR 1.000, WA 1.000, 2 clips", "state: UAR 1.000, WA 1.000, 1 clips", "–"} <= {*texts}


def test_curves_with_gaps(tmp_path: Path, texts: list[str]) -> None:
    history: dict[str, list[float | None]] = {
        "train/loss": [1.0, 0.5],
        "val/loss": [None, 0.7],
        "val/emotion_uar": [0.25, 0.5],
    }
    draw_curves(tmp_path / "curves.png", history, best_epoch=1)
    assert {"train", "val", "emotion", "kept: epoch 2", "UAR on the validation set"} <= {*texts}
    assert np.ptp(imread(tmp_path / "curves.png")) > 0
