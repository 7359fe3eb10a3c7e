"""A tiny corpus that can be learnt, and the step that learns it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.audio.windows import IntArray
from emotions.pipeline.runner import Context
from tests.conftest import BuildOnce, WriteWav
from training.config.train import TrainStep
from training.data.split.group_assignment import assign_groups
from training.loop.fit import fit

MakeStep = Callable[..., TrainStep]
_ASSIGNED: dict[object, IntArray] = {}
SPEAKERS = ("anna", "bert", "cora", "dirk", "emma")


def make_corpus(folder: Path, write_wav: WriteWav) -> Path:
    """Five speakers, two emotions, two clips of 0.4 s of each, one of 1.3 s; ``state`` is known of every other clip."""
    random = np.random.default_rng(0)
    rows: dict[str, Any] = {}
    for speaker in SPEAKERS:
        for emotion, hz in (("calm", 300), ("wild", 2_500)):
            for take, sec in enumerate((0.4, 1.3) if speaker == "anna" else (0.4, 0.4)):
                name = f"{speaker}/{emotion}_{take}.wav"
                time = np.arange(round(sec * 16_000)) / 16_000
                tone = 0.3 * np.sin(2 * np.pi * hz * random.uniform(0.9, 1.1) * time)
                write_wav(folder / name, tone + random.normal(0, 0.02, len(time)))
                rows[name] = {"emotion": emotion, "speaker": speaker}
                if take == 0:
                    rows[name]["state"] = {"calm": "neutral", "wild": "negative"}[emotion]
    (folder / "annotations.json").write_text(json.dumps(rows))
    return folder


def build_step(data: Path, run: Path, **changes: Any) -> TrainStep:
    """A step that trains the smallest network on ``data`` into ``run``; ``changes`` by dotted key."""
    step: dict[str, Any] = {
        "type": "train",
        "model": "SpectrogramCnnClassifier",
        "model_architecture": {"backbone": "test_efficientnet", "dropout": 0.1},
        "learn_params": {
            "padding_sec": 0.5,
            "spectrogram_size": 32,
            "max_epoch": 2,
            "batch_size": 4,
            "lr": {"base_lr": 3e-3},
        },
        "saving_data_params": {"saved_checkpoints_path": [str(run)], "saved_checkpoints_filename": ["c_{epoch:02d}"]},
        "dataset": {"path": str(data), "speaker": {"column": "speaker"}, "targets": ["emotion", "state"]},
        "accelerator": "cpu",
    }
    for key, value in changes.items():
        *parents, last = key.split("__")
        inner = step
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    return TrainStep.model_validate(step)


@pytest.fixture
def drawn() -> None:
    """For a test of what pictures show: they are really drawn."""


@pytest.fixture(autouse=True)
def blank_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures have their size and no content, unless ``drawn`` is used: drawing takes half of a short training."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr("matplotlib.figure.Figure.draw", lambda *_: None)


@pytest.fixture(scope="session")
def corpus_folder(build_once: BuildOnce, write_wav: WriteWav) -> Path:
    """The corpus; not to be changed."""
    return build_once("corpus", lambda folder: make_corpus(folder, write_wav))


@pytest.fixture
def rated(corpus_folder: Path, tmp_path: Path) -> Path:
    """A table of the corpus with three raters, who are at odds about every fourth clip, and some ties of two."""
    known = json.loads((corpus_folder / "annotations.json").read_text())
    lines = ["file,speaker,emotion,rater"]
    for number, (name, row) in enumerate(known.items()):
        other = {"calm": "wild", "wild": "calm"}[row["emotion"]]
        for rater in range(2 if number % 8 == 3 else 3):
            label = other if number % 4 == 3 and rater == 1 else row["emotion"]
            lines.append(f"{corpus_folder / name},{row['speaker']},{label},r{rater}")
    (tmp_path / "rated.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "rated.csv"


@pytest.fixture
def make_step(corpus_folder: Path, tmp_path: Path) -> MakeStep:
    """``make_step(run="run", **changes)``: trains the corpus into ``tmp_path / run``."""

    def make(run: str = "run", **changes: Any) -> TrainStep:
        return build_step(corpus_folder, tmp_path / run, **changes)

    return make


@pytest.fixture
def known_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same clips, shares and seed are split once a process: the draws of a split take as long as an epoch."""

    def assigned(counts: IntArray, shares: tuple[float, float], seed: int) -> IntArray:
        key = (counts.tobytes(), counts.shape, shares, seed)
        if key not in _ASSIGNED:
            _ASSIGNED[key] = assign_groups(counts, shares, seed)
        return _ASSIGNED[key].copy()

    monkeypatch.setattr("training.data.split.splits.assign_groups", assigned)


@pytest.fixture
def context(tmp_path: Path, known_splits: None) -> Context:
    return Context(tmp_path, seed=0, workers=0, config={"pipeline": [{"type": "train"}]}, quiet=True)


@pytest.fixture(scope="session")
def tiny_run(corpus_folder: Path, build_once: BuildOnce) -> Path:
    """A finished run of 8 epochs; not to be changed."""

    def build(folder: Path) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EMOTIONS_CACHE", str(folder / "cache"))
            step = build_step(corpus_folder, folder / "run", learn_params__max_epoch=8)
            return fit(step, Context(folder, seed=0, workers=0, config={"seed": 0}, quiet=True))

    return build_once("tiny_run", build)


@pytest.fixture(scope="session")
def teacher_bundle(tiny_run: Path, build_once: BuildOnce) -> Path:
    """The bundle of the finished run, which was trained on the corpus; not to be changed."""
    from export.bundle.export import export_run  # its tools are slow to import

    return build_once("teacher_bundle", lambda folder: export_run(tiny_run, folder / "bundle", "tiny-teacher"))
