"""A search's time against that of its trials, and the epochs of one that stops bad trials early against a plain one."""

from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path
from typing import Any

from emotions.pipeline.runner import Context
from emotions.runtime.cores import available_cores
from training.config.tune import TuneStep
from training.tuning.records import Results, TrialRecord
from training.tuning.search import search

MOST_OVERHEAD = 1.5
MOST_EPOCHS = 0.5
_EPOCHS = 5


def compare_searches(data: Path, trials: int, folder: Path, backbone: str = "efficientnet_b0") -> list[str]:
    """Lines that compare the two searches of a learning rate, a batch size and a dropout.

    Args:
        data: the dataset.
        trials: how many each runs, one a core.
        folder: where the results go.
        backbone: the image network, on spectrograms of 64 x 64.
    """
    plain, wall = _searched(data, trials, folder / "plain", backbone, early=False)
    stopped, _ = _searched(data, trials, folder / "early", backbone, early=True)
    trained = sum(trial.seconds for trial in plain)
    fair = trained / min(available_cores(), trials)
    spent, less = (sum(trial.epochs for trial in each) for each in (plain, stopped))
    return [
        f"search: {trials} trials of {_EPOCHS} epochs, {backbone} at 64 x 64, {available_cores()} at a time",
        f"  the trials' own training    {trained:9.1f} s",
        f"  the search                  {wall:9.1f} s",
        f"  search / (own / at a time)  {wall / fair:9.2f}   (wanted: at most {MOST_OVERHEAD:g})",
        f"  epochs, stopped early       {less:9d}     of {spent}",
        f"  share of the plain search's {less / spent:9.2f}   (wanted: at most {MOST_EPOCHS:g})",
        f"  best UAR, plain             {_best(plain):9.3f}",
        f"  best UAR, stopped early     {_best(stopped):9.3f}",
    ]


def _searched(data: Path, trials: int, folder: Path, backbone: str, *, early: bool) -> tuple[list[TrialRecord], float]:
    """The trials of a search, and its seconds from its start to its end, Ray's included."""
    context = Context(folder, seed=0, workers=0, config={"pipeline": []}, quiet=True)
    step = _step(data, trials, folder, backbone, early=early)
    with contextlib.redirect_stdout(io.StringIO()):
        began = time.perf_counter()
        results = search(step, context)
        seconds = time.perf_counter() - began
    return Results(results).trials(), seconds


def _step(data: Path, trials: int, folder: Path, backbone: str, *, early: bool) -> TuneStep:
    raw: dict[str, Any] = {
        "model": "SpectrogramCnnClassifier",
        "model_architecture": {"backbone": backbone, "dropout": {"uniform": [0.0, 0.5]}},
        "learn_params": {"lr": {"base_lr": None}, "batch_size": None, "padding_sec": 3, "spectrogram_size": 64},
        "saving_data_params": {"tune_results_path": [str(folder)], "tune_results_dir": ["results"]},
        "dataset": {"path": str(data)},
        "accelerator": "cpu",
        "tune": {"num_samples": trials, "max_tune_epochs": _EPOCHS, "enable_tune_features": early},
    }
    return TuneStep.model_validate(raw)


def _best(trials: list[TrialRecord]) -> float:
    scores = [value for trial in trials for value in trial.history.get("val/emotion_uar", []) if value is not None]
    return max(scores, default=float("nan"))
