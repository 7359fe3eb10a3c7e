"""Bundles of three sizes to measure on: hardly trained, since speed does not depend on what was learnt."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotions.pipeline.runner import check_pipeline, run_pipeline

SIZES: Mapping[str, tuple[str, int]] = {
    "small": ("mobilenetv3_small_050", 64),
    "medium": ("efficientnet_b0", 128),
    "large": ("resnet18", 112),
}
"""Name -> image network and size of the spectrogram: about 1, 5 and 17 ms of CPU a clip of 3 s."""


def made_bundle(folder: Path, data: Path, size: str) -> Path:
    """Train for a few epochs and export; the bundle.

    Args:
        folder: what is written goes there.
        data: dataset.
        size: a key of ``SIZES``.
    """
    backbone, pixels = SIZES[size]
    train: dict[str, Any] = {
        "type": "train",
        "model": "SpectrogramCnnClassifier",
        "model_architecture": {"backbone": backbone},
        "learn_params": {"padding_sec": 3, "spectrogram_size": pixels, "batch_size": 8, "max_epoch": 4},
        "dataset": {"path": str(data.resolve())},
        "saving_data_params": {"saved_checkpoints_path": [str(folder / f"run-{size}")]},
    }
    bundle = folder / f"bundle-{size}"
    steps = [train, {"type": "export", "name": size, "output": str(bundle)}]
    pipeline = check_pipeline({"pipeline": steps, "load_dataset_workers_num": 0}, "benchmark", root=folder)
    with contextlib.redirect_stdout(sys.stderr):  # the table of figures has the other one to itself
        run_pipeline(pipeline)
    return bundle
