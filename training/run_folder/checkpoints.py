"""Write the checkpoints of a run atomically, so that a kill or a full disk never loses the last good one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from emotions.errors import CheckpointError
from emotions.files.atomic import atomic_file
from training.config.train import SavingDataParams
from training.run_folder.layout import LAST
from training.run_folder.read import read_checkpoint

_OUTDATED = "outdated"


def mode_of(metric: str) -> Literal["max", "min"]:
    """``min`` for a loss, ``max`` for any other metric."""
    return "min" if metric.endswith("loss") else "max"


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint next to its final path and renames it; Lightning writes to the system's /tmp first."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:  # noqa: ARG002 - for remote files
        """Write a checkpoint. Raises DiskFull, CheckpointError where it cannot; an earlier file is unchanged."""
        # Through memory, because torch's own writer hides the cause when the disk is full.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        try:
            with atomic_file(Path(path)) as temporary, temporary.open("wb") as stream:
                stream.write(content.getbuffer())
        except OSError as error:
            kept = "the epochs before are kept" if Path(path).with_name(f"{LAST}.ckpt").exists() else "nothing is kept"
            raise CheckpointError(
                f"{path}: the checkpoint cannot be written ({error.strerror or error}); {kept}"
            ) from error


class BestCheckpoint(ModelCheckpoint):
    """Keeps the best epoch's checkpoint, and removes its predecessor once the last checkpoint names the new one.

    A run that is killed before resumes from a last checkpoint that still names the predecessor, one that is killed
    after that from one which says what is left to remove.

    Args:
        saving: template of the file name.
        folder: the run folder.
        metric: the validation metric; None for the last epoch.
    """

    def __init__(self, saving: SavingDataParams, folder: Path, metric: str | None) -> None:
        super().__init__(
            dirpath=folder,
            filename="".join(saving.saved_checkpoints_filename),
            monitor=metric,
            mode="max" if metric is None else mode_of(metric),
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self._outdated: list[str] = []

    def format_checkpoint_name(self, metrics: dict[str, Any], *arguments: Any, **options: Any) -> str:
        """The path of a checkpoint; its name counts epochs from 1, as everything that is read does."""
        return super().format_checkpoint_name({**metrics, "epoch": metrics["epoch"] + 1}, *arguments, **options)

    def state_dict(self) -> dict[str, Any]:
        """What a last checkpoint has of it."""
        return {**super().state_dict(), _OUTDATED: [Path(path).name for path in self._outdated]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume; the folder may have been moved, with the best checkpoint in it."""
        folder = Path(str(self.dirpath))
        best = folder / Path(state_dict["best_model_path"]).name
        if state_dict["dirpath"] != self.dirpath and best.is_file():
            kept = {str(folder / Path(path).name): score for path, score in state_dict["best_k_models"].items()}
            worst = folder / Path(state_dict["kth_best_model_path"]).name
            moved = {"dirpath": self.dirpath, "best_model_path": str(best), "kth_best_model_path": str(worst)}
            state_dict = {**state_dict, **moved, "best_k_models": kept}
        super().load_state_dict(state_dict)

    def _remove_checkpoint(self, trainer: lightning.Trainer, filepath: str) -> None:  # noqa: ARG002 - Lightning's
        self._outdated.append(filepath)

    def remove_outdated(self, trainer: lightning.Trainer) -> None:
        """Remove the checkpoints that are no longer the best."""
        while self._outdated:
            super()._remove_checkpoint(trainer, self._outdated.pop())


class LastCheckpoint(ModelCheckpoint):
    """Keeps the last epoch's checkpoint; Lightning's ``save_last`` writes only when the best one is written too."""

    def __init__(self, folder: Path, best: BestCheckpoint) -> None:
        super().__init__(dirpath=folder, filename=LAST, enable_version_counter=False, save_on_train_epoch_end=True)
        self._best = best

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the checkpoint, then remove outdated ones."""
        super().on_train_epoch_end(trainer, pl_module)
        self._best.remove_outdated(trainer)


def checkpoint_callbacks(saving: SavingDataParams, folder: Path, metric: str | None) -> list[Callback]:
    """Checkpoint callbacks of a run, the best one first, so that the last one's state names it.

    Args:
        saving: template of the best checkpoint's name.
        folder: the run folder.
        metric: the validation metric; None keeps the last epoch as the best.
    """
    best = BestCheckpoint(saving, folder, metric)
    return [best, LastCheckpoint(folder, best)]


def remove_outdated(last: Path) -> None:
    """Remove the checkpoints that were no longer the best when a last one was written, whose run was killed just then.

    Args:
        last: the last checkpoint.
    """
    for name, state in read_checkpoint(last)["callbacks"].items():
        if name.startswith(BestCheckpoint.__name__):
            kept = {last.name, Path(state["best_model_path"]).name}
            for outdated in (last.parent / Path(each).name for each in state.get(_OUTDATED, ())):
                if outdated.suffix == last.suffix and outdated.name not in kept:
                    outdated.unlink(missing_ok=True)
