"""The settings of a first training, by the size of its dataset."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

_BATCHES = ((2_000, 16), (20_000, 64), (math.inf, 256))
_SHORTEST_SEC, _LONGEST_SEC = 3, 10


def initial_step(name: str, dataset: dict[str, Any], durations: list[float]) -> dict[str, Any]:
    """A ``train`` step with the recipe that measures best on small corpora (docs/figures/accuracy.md).

    Args:
        name: of the run and its folder.
        dataset: the ``dataset`` block.
        durations: seconds of each clip. Nine of ten clips fit into a window of 3 to 10 s, and larger datasets are
            learnt in larger batches, so that an epoch has some hundred steps.
    """
    window = math.ceil(float(np.percentile(durations, 90)))
    return {
        "type": "train",
        "name": name,
        "model": "FunctionalsClassifier",
        "model_architecture": {"members": 8, "layer_1_size": 64, "input_dropout": 0.7, "dropout": 0.3},
        "learn_params": {
            "lr": {"base_lr": 0.001},
            "batch_size": next(size for clips, size in _BATCHES if len(durations) <= clips),
            "padding_sec": min(max(window, _SHORTEST_SEC), _LONGEST_SEC),
            "max_epoch": 40,
            "keep": "last",
            "label_smoothing": 0.1,
        },
        "dataset": dataset,
        "saving_data_params": {"saved_checkpoints_path": ["$$ROOT_DIR$$", "runs", name]},
    }


def run_name(path: Path) -> str:
    """A name for the runs of a dataset, after its folder: letters, digits, ``-``, ``_`` and ``.`` alone."""
    stem = path.resolve().name if path.is_dir() else path.resolve().parent.name
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in stem).strip("-.")
    return kept[:60] or "dataset"
