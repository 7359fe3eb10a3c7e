"""The settings of a first training, by the size of its dataset."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

_SMALL = 2_000
"""Most clips of a corpus that folds validate, because no part of it can be spared."""
# Most clips, batch, altered copies of each clip, epochs: larger corpora vary more by themselves.
_SIZES = ((_SMALL, 16, 3, 10), (20_000, 64, 1, 20), (math.inf, 256, 0, 40))
_SHORTEST_SEC, _LONGEST_SEC = 3, 8  # the encoder has positions for 8 s


def initial_step(name: str, dataset: dict[str, Any], durations: list[float]) -> dict[str, Any]:
    """A ``train`` step with the recipe that measures best on small corpora (docs/figures/accuracy.md).

    Args:
        name: of the run and its folder.
        dataset: the ``dataset`` block.
        durations: seconds of each clip. Nine of ten clips fit into a window of 3 to 10 s, and larger datasets are
            learnt in larger batches, so that an epoch has some hundred steps.
    """
    window = math.ceil(float(np.percentile(durations, 90)))
    batch, copies, epochs = next(sizes for clips, *sizes in _SIZES if len(durations) <= clips)
    return {
        "type": "train",
        "name": name,
        "model": "FunctionalsClassifier",
        "model_architecture": {
            "members": 8,
            "layer_1_size": 64,
            "input_dropout": 0.7,
            "dropout": 0.3,
            "encoder": "smart-turn-v3.2",
            "encoder_required": False,
            "embedding": [1, 2],
            "pooling": "mean_deviation",
        },
        "learn_params": {
            "lr": {"base_lr": 0.001},
            "batch_size": batch,
            "padding_sec": min(max(window, _SHORTEST_SEC), _LONGEST_SEC),
            "max_epoch": epochs,
            "keep": "last",
            "label_smoothing": 0.1,
            "augmentation": {"copies": copies},
        },
        "dataset": dataset,
        "saving_data_params": {"saved_checkpoints_path": ["$$ROOT_DIR$$", "runs", name]},
    }


def initial_splits(clips: int) -> tuple[tuple[dict[str, Any], str], ...]:
    """Splits from the most to the least that figures can be trusted, and what is to be said of the others.

    Args:
        clips: how many there are.
    """
    validates: dict[str, Any] = {"val_folds": 3} if clips <= _SMALL else {"val": 0.1}
    return (
        ({**validates, "test": 0.1}, ""),
        (
            {**validates, "test": 0.0},
            "too few speakers for a test part: give more, or trust the validation figures alone",
        ),
        (
            {"by": "recording", **validates, "test": 0.1, "allow_leaks": ["speaker"]},
            "too few speakers to hold some out: figures are for these alone",
        ),
        (
            {"by": "clip", **validates, "test": 0.1, "allow_leaks": ["speaker", "recording"]},
            "too few recordings to hold some out: figures are for these alone",
        ),
    )


def run_name(path: Path) -> str:
    """A name for the runs of a dataset, after its folder: letters, digits, ``-``, ``_`` and ``.`` alone."""
    stem = path.resolve().name if path.is_dir() else path.resolve().parent.name
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in stem).strip("-.")
    return kept[:60] or "dataset"
