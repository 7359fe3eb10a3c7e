"""A tiny corpus, and a search over it that takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from emotions.pipeline.runner import Context
from training.config.tune import TuneStep
from training.tuning.records import Results, SearchRecord
from training.tuning.spaces import draw
from training.tuning.trial import Shared, run_trial

MakeTune = Callable[..., TuneStep]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def build_tune(data: Path, root: Path, **changes: Any) -> TuneStep:
    """A search of the smallest network's learning rate and batch size; ``changes`` by dotted key."""
    step: dict[str, Any] = {
        "type": "tune",
        "model": "SpectrogramCnnClassifier",
        "model_architecture": {"backbone": "test_efficientnet"},
        "learn_params": {
            "padding_sec": 0.5,
            "spectrogram_size": 32,
            "max_epoch": 2,
            "batch_size": {"choice": [4, 8]},
            "lr": {"base_lr": None},
        },
        "saving_data_params": {"tune_results_path": [str(root / "tune")], "tune_results_dir": ["first"]},
        "dataset": {"path": str(data), "speaker": {"column": "speaker"}, "targets": ["emotion", "state"]},
        "accelerator": "cpu",
        "tune": {"num_samples": 3, "max_tune_epochs": 2},
    }
    for key, value in changes.items():
        *parents, last = key.split("__")
        inner = step
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    return TuneStep.model_validate(step)


@pytest.fixture
def make_tune(corpus_folder: Path, tmp_path: Path) -> MakeTune:
    """``make_tune(**changes)``: searches the corpus, into ``tmp_path / tune``."""
    return lambda **changes: build_tune(corpus_folder, tmp_path, **changes)


@pytest.fixture
def context(tmp_path: Path, known_splits: None) -> Context:
    return Context(tmp_path, seed=0, workers=0, config={"pipeline": []}, quiet=True)


def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run trials in this process, one after the other, where a search would start Ray."""

    def drive(_: object, shared: Shared, pending: Sequence[int], __: object) -> None:
        for number in pending:
            run_trial(shared, number, draw(shared.step, shared.context.seed, number), lambda _: None)

    cluster = SimpleNamespace(cluster_resources=lambda: {"CPU": 1.0})
    monkeypatch.setattr("training.tuning.search.connected", lambda *_: nullcontext(cluster))
    monkeypatch.setattr("training.tuning.search.drive", drive)


def make_search(**changes: Any) -> SearchRecord:
    values: dict[str, Any] = {
        "key": "k",
        "model": "SpectrogramCnnClassifier",
        "spaces": {
            "learn_params.lr.base_lr": {"loguniform": [1e-4, 1e-1]},
            "learn_params.batch_size": {"choice": [4, 8]},
        },
        "metric": "val/emotion_uar",
        "mode": "max",
        "num_samples": 3,
        "max_epochs": 2,
        "sampler": "random",
        "seed": 0,
        "threshold": None,
        "protocol": "speaker-disjoint hold-out",
        "step": {},
        "root": "/nowhere",
    }
    return SearchRecord.model_validate({**values, **changes})


@pytest.fixture
def shared(make_tune: MakeTune, context: Context, tmp_path: Path) -> Shared:
    results = Results(tmp_path / "tune" / "first")
    return Shared(make_tune(), context, results.folder, make_search())
