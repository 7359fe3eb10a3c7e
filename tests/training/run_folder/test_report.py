"""The page of a run: what it says of any run, and that it stays small and safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.pages import text_of
from training.metrics.classification import score
from training.run_folder.report import run_page


def index_of(part: str, labels: list[str], **changes: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(len(labels)), 20)
    predicted = np.where(random.random(len(truth)) < 0.7, truth, random.integers(len(labels), size=len(truth)))
    parts = {name: {"clips": 20, "hours": 0.1, "labels": {}} for name in ("train", "val", "test")}
    return {
        "name": "mine",
        "model": "Net",
        "protocol": "speaker-disjoint hold-out",
        "metrics": {part: {"emotion": score(truth, predicted, labels)}},
        "dataset": {"clips": 60, "hours": 0.3, "fingerprint": "f" * 64, "license": None, "split": parts},
        "seed": 3,
        "best_epoch": 1,
        "steps": 40,
        "created": "2026-11-29",
        "toolkit_version": "0.2.0",
        **changes,
    }


HISTORY = {"train/loss": [1.0, 0.5, 0.4], "val/loss": [1.1, None, 0.9], "val/emotion_uar": [0.3, 0.5, 0.5]}


def test_it_opens_with_its_conclusion_and_says_how_it_was_measured() -> None:
    told = text_of(run_page(index_of("test", ["a", "b"]), HISTORY, "test", "calls"))
    assert "Training: mine Net" in told
    assert told.index("of 100 recordings of a new speaker are right") < told.index("Pictures") < told.index("Method")
    for words in ("epoch 1 was kept", "seed 3", "calls", "Loss by epoch", "one split was measured once", "Python"):
        assert words.lower() in told.lower()
    assert "chose the epoch" not in told


def test_without_a_test_part_the_figures_are_called_too_good() -> None:
    assert "the figures are too good" in text_of(
        run_page(index_of("validation", ["a", "b"]), {}, "validation", "calls")
    )


def test_it_lists_the_recordings_that_are_most_wrong_and_most_sure() -> None:
    row = {"clip": "clip 7", "truth": "a", "predicted": "b", "confidence": 0.987}
    one = text_of(run_page(index_of("test", ["a", "b"]), HISTORY, "test", "calls", 2, {"emotion": [row]}))
    assert "Wrong, and most sure" in one
    assert "clip 7" in one
    assert "99%" in one
    two = text_of(
        run_page(index_of("test", ["a", "b"]), HISTORY, "test", "calls", 2, {"emotion": [row], "state": [row], "x": []})
    )
    assert [name in two for name in ("emotion: wrong", "state: wrong", "x: wrong")] == [True, True, False]


def test_labels_and_names_are_escaped() -> None:
    labels = ["<script>alert(1)</script>", 'злость"&', "x" * 300]
    page = run_page(index_of("test", labels, name="<img src=x>"), HISTORY, "test", "</style><b>")
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("</style>") == 1
    assert "злость" in page


def test_many_classes_and_epochs_make_a_small_page() -> None:
    history = {"train/loss": np.linspace(5, 1, 20_000).tolist(), "val/emotion_uar": [0.5] * 20_000}
    page = run_page(index_of("test", [f"class {n}" for n in range(400)]), history, "test", "calls")
    assert len(page) < 300_000
    assert "20 classes with the most errors of 400" in page
    assert "200 more rows" in page


def test_a_run_folder_has_its_page(tiny_run: Path) -> None:
    page = (tiny_run / "report.html").read_text()
    assert "recordings" in text_of(page)
    assert "http" not in page
    assert str(tiny_run) not in page.split("Made by")[0]
