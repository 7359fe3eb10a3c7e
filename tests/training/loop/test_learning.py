"""What a config may ask of the learning: early stopping, losses, augmentation, TensorBoard, and bad targets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from emotions.errors import ConfigError, DataError
from emotions.pipeline.runner import Context
from tests.training.conftest import MakeStep, build_step
from training.data.waveforms.dataset import WindowDataset
from training.loop.fit import fit
from training.loop.module import ClassifierModule
from training.run_folder.read import load_checkpoint, read_checkpoint

Edit = Callable[[dict[str, Any]], None]
EVERYTHING: dict[str, Any] = {
    "waveform": {"speed": [0.9, 1.1], "gain_db": [-6, 6], "noise_snr_db": [10, 30]},
    "features": {"masks": 1},
    "mixup_alpha": 0.3,
}


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_mixup_leaves_the_standardisation_as_it_is(make_step: MakeStep, context: Context) -> None:
    """Of mixed windows deviations would be too small."""
    kept = []
    for alpha in (0.0, 1.0):
        changes = {"model": "FunctionalsClassifier", "model_architecture": {"members": 1, "layer_1_size": 4}}
        augmentation = {"mixup_alpha": alpha}
        step = make_step(f"mixup {alpha}", learn_params__augmentation=augmentation, **changes)
        kept.append(load_checkpoint(fit(step, context) / "last.ckpt").model.head.state_dict())
    for name in ("count", "mean", "squares"):
        assert torch.equal(kept[0][f"standardised.{name}"], kept[1][f"standardised.{name}"])
    assert not torch.equal(kept[0]["hidden.weight"], kept[1]["hidden.weight"])


def test_everything_at_once_learns_and_resumes_exactly(make_step: MakeStep, context: Context) -> None:
    changes = {
        "learn_params__max_epoch": 4,
        "learn_params__loss": "focal",
        "learn_params__label_smoothing": 0.1,
        "learn_params__sampling": "balanced",
        "learn_params__scheduler": "linear",
        "learn_params__warm_up": 0.2,
        "learn_params__target_weights": {"state": 0.5},
        "learn_params__augmentation": EVERYTHING,
        "learn_params__gradient_clip_norm": None,
    }
    whole = fit(make_step("whole", **changes), context)
    start, again = ClassifierModule.on_train_batch_start, pytest.MonkeyPatch()

    def interrupted(module: ClassifierModule, *batch: Any) -> None:
        if module.current_epoch == 2:
            raise KeyboardInterrupt
        start(module, *batch)

    with again.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ClassifierModule, "on_train_batch_start", interrupted)
        fit(make_step("broken", **changes), context)
    last = whole.parent / "broken" / "last.ckpt"
    path = {"saving_data_params__start_from_saved_checkpoint_path": [str(last)]}
    resumed = fit(make_step("resumed", **changes, **path), context)
    expected, found = (read_checkpoint(run / "last.ckpt")["state_dict"] for run in (whole, resumed))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_augmented_samples_are_not_cached_and_validation_sees_none(
    make_step: MakeStep, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[Any] = []
    start = ClassifierModule.on_train_start

    def noted(module: ClassifierModule) -> None:
        trainer: Any = module.trainer
        parts.extend([trainer.train_dataloader.dataset, trainer.val_dataloaders.dataset])
        start(module)

    monkeypatch.setattr(ClassifierModule, "on_train_start", noted)
    plain = fit(make_step("plain"), context)
    augmented = fit(make_step("augmented", learn_params__augmentation=EVERYTHING), context)
    assert [isinstance(part, WindowDataset) for part in parts] == [False, False, True, False]
    losses = [read(run / "metrics.json")["history"]["train/loss"] for run in (plain, augmented)]
    assert losses[0] != losses[1]


def test_early_stopping_ends_a_run_that_learns_no_more(make_step: MakeStep, context: Context) -> None:
    changes = {"learn_params__max_epoch": 30, "learn_params__early_stopping_epochs": 2}
    folder = fit(make_step(**changes, learn_params__lr={"base_lr": 1e-9}), context)
    assert len(read(folder / "metrics.json")["history"]["val/emotion_uar"]) == 3
    assert read_checkpoint(folder / "last.ckpt")["epoch"] == 2


def test_mixed_precision_trains(make_step: MakeStep, context: Context) -> None:
    folder = fit(make_step(learn_params__precision="bf16-mixed"), context)
    state = read_checkpoint(folder / "last.ckpt")["state_dict"]
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float32}


@pytest.mark.usefixtures("drawn")
def test_tensorboard_has_figures_rates_and_pictures(make_step: MakeStep, context: Context) -> None:
    board = EventAccumulator(str(fit(make_step(), context) / "logs"), size_guidance={"images": 0}).Reload()
    tags = board.Tags()
    assert {"train/loss", "val/loss", "val/emotion_uar", "val/state_wa"} <= {*tags["scalars"]}
    assert {"lr-AdamW/base", "lr-AdamW/base_no_decay"} <= {*tags["scalars"]}
    assert {"confusion/emotion", "confusion/state", "features/0"} <= {*tags["images"]}
    assert len(board.Images("confusion/emotion")) == 2
    assert len(board.Images("features/0")) == 1
    assert board.Images("confusion/emotion")[0].width > 100


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"emotoin": 1.0}, r"target_weights: found emotoin; the targets are emotion, state"),
        ({"emotion": 0.0, "state": 0.0}, "every target weighs 0"),
    ],
)
def test_weights_of_targets_are_checked(
    weights: dict[str, float], message: str, make_step: MakeStep, context: Context
) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(make_step(learn_params__target_weights=weights), context)


def edited(folder: Path, into: Path, edit: Edit) -> Path:
    shutil.copytree(folder, into)
    rows = read(into / "annotations.json")
    for row in rows.values():
        edit(row)
    (into / "annotations.json").write_text(json.dumps(rows))
    return into


def test_one_class_only_is_refused(corpus_folder: Path, tmp_path: Path, context: Context) -> None:
    data = edited(corpus_folder, tmp_path / "data", lambda row: row.update(emotion="calm"))
    with pytest.raises(DataError, match="'emotion' needs at least two classes, all clips are 'calm'"):
        fit(build_step(data, tmp_path / "run"), context)


def test_a_target_that_no_clip_has_is_refused(make_step: MakeStep, context: Context) -> None:
    with pytest.raises(DataError, match="arousal") as caught:
        fit(make_step(dataset__targets=["emotion", "arousal"]), context)
    assert "\n" not in str(caught.value)


def test_a_nan_names_the_step_and_keeps_the_last_good_checkpoint(
    make_step: MakeStep, context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start = ClassifierModule.on_train_batch_start

    def poisoned(module: ClassifierModule, *batch: Any) -> None:
        start(module, *batch)
        if module.current_epoch == 2:
            next(module.model.head.parameters()).data.fill_(torch.nan)

    monkeypatch.setattr(ClassifierModule, "on_train_batch_start", poisoned)
    with pytest.raises(
        ConfigError, match=r"the loss is nan at epoch 2, step \d+, with learning rate .*are kept"
    ) as stop:
        fit(make_step(learn_params__max_epoch=5), context)
    assert "\n" not in str(stop.value)
    last = tmp_path / "run" / "last.ckpt"
    assert read_checkpoint(last)["epoch"] == 1
    assert load_checkpoint(last).steps > 0


def test_the_summary_says_where_everything_lies(
    make_step: MakeStep, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fit(make_step(learn_params__max_epoch=1), context)
    printed = capsys.readouterr().out
    assert "best epoch 1" in printed
    assert f"best checkpoint: {folder / 'c_epoch=01.ckpt'}" in printed
    assert f"TensorBoard logs: {folder / 'logs'}" in printed
