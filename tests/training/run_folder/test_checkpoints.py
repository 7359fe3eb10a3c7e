"""Checkpoints: a write that fails leaves the last good one, and a kill between two writes loses nothing."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from emotions.errors import CheckpointError, DiskFull
from emotions.files.atomic import remove_left_over
from emotions.pipeline.runner import Context
from tests.training.conftest import MakeStep
from training.loop.fit import fit
from training.run_folder.checkpoints import AtomicCheckpoints, BestCheckpoint, LastCheckpoint
from training.run_folder.read import load_checkpoint, read_checkpoint


@pytest.fixture
def small_files() -> Any:
    """No file may grow beyond 64 KiB, which fails as a full disk does: in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path: Path, small_files: Any) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpoints().save_checkpoint({"a": torch.zeros(10)}, path)
    before = path.read_bytes()
    with pytest.raises(
        CheckpointError, match=r"last\.ckpt: the checkpoint cannot be written \(.*\); the epochs before are kept"
    ) as caught:
        AtomicCheckpoints().save_checkpoint({"a": torch.zeros(100_000)}, path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def full(path: Path, *mode: Any, **options: Any) -> Any:
        return opened(Path("/dev/full") if path.suffix == ".ckpt" and "wb" in mode else path, *mode, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DiskFull, match=r"last\.ckpt: the disk is full; make room"):
        AtomicCheckpoints().save_checkpoint({"a": torch.zeros(100_000)}, tmp_path / "last.ckpt")
    assert not [*tmp_path.iterdir()]


def test_training_stops_with_words_and_keeps_its_checkpoints(
    make_step: MakeStep, context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save = AtomicCheckpoints.save_checkpoint

    def limited(self: AtomicCheckpoints, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if checkpoint["epoch"] < 2:
            save(self, checkpoint, path, storage_options)
            return
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
        try:
            save(self, checkpoint, path, storage_options)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    monkeypatch.setattr(AtomicCheckpoints, "save_checkpoint", limited)
    with pytest.raises(CheckpointError, match="the checkpoint cannot be written"):
        fit(make_step(learn_params__max_epoch=5), context)
    last = tmp_path / "run" / "last.ckpt"
    assert read_checkpoint(last)["epoch"] == 1
    assert load_checkpoint(last).steps > 0
    assert not [*last.parent.glob(".*")]


@pytest.fixture
def ever_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every epoch is the best so far."""
    monkeypatch.setattr("training.loop.job.Job.selection_metric", "epoch_number")
    monkeypatch.setattr(
        "training.loop.module.ClassifierModule.on_train_epoch_end",
        lambda self: self.log("epoch_number", float(self.current_epoch)),
        raising=False,
    )


@pytest.mark.usefixtures("ever_better")
def test_a_kill_between_two_checkpoints_leaves_the_best_that_the_last_one_names(
    make_step: MakeStep, context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write = LastCheckpoint.on_train_epoch_end

    def killed(self: LastCheckpoint, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt
        write(self, trainer, module)

    with monkeypatch.context() as patch:
        patch.setattr(LastCheckpoint, "on_train_epoch_end", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(make_step(learn_params__max_epoch=4), context)
    run = tmp_path / "run"
    assert {path.name for path in run.glob("*.ckpt")} == {"c_epoch=02.ckpt", "c_epoch=03.ckpt", "last.ckpt"}
    start = {"saving_data_params__start_from_saved_checkpoint_path": [str(run / "last.ckpt")]}
    fit(make_step(learn_params__max_epoch=4, **start), context)
    assert {path.name for path in run.glob("*.ckpt")} == {"c_epoch=04.ckpt", "last.ckpt"}


@pytest.mark.usefixtures("ever_better")
@pytest.mark.parametrize("epoch", [3, 4])
def test_a_kill_before_the_former_best_is_removed_leaves_that_to_the_training_that_goes_on(
    epoch: int, make_step: MakeStep, context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    remove = BestCheckpoint.remove_outdated

    def killed(self: BestCheckpoint, trainer: Any) -> None:
        if trainer.current_epoch + 1 == epoch:
            raise KeyboardInterrupt
        remove(self, trainer)

    with monkeypatch.context() as patch:
        patch.setattr(BestCheckpoint, "remove_outdated", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(make_step(learn_params__max_epoch=4), context)
    run = tmp_path / "run"
    left = {f"c_epoch={epoch - 1:02}.ckpt", f"c_epoch={epoch:02}.ckpt", "last.ckpt"}
    assert {path.name for path in run.glob("*.ckpt")} == left
    fit(make_step(learn_params__max_epoch=4), context)
    assert {path.name for path in run.glob("*.ckpt")} == {"c_epoch=04.ckpt", "last.ckpt"}


def test_what_a_killed_write_left_is_removed(tmp_path: Path) -> None:
    for name in (".0123456789abcdef.ckpt", ".part-0123456789abcdef.ckpt", ".mine.ckpt", "last.ckpt"):
        (tmp_path / name).touch()
    remove_left_over(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".mine.ckpt", "last.ckpt"}
