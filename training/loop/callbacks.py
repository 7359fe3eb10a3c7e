"""What watches a run: the progress bar and the history of its metrics."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from emotions.pipeline.runner import console


class Bar(Callback):
    """One bar on stderr over all batches of all epochs, with the last loss and the validation metric.

    Args:
        metric: which validation metric to show.
        quiet: show nothing.
    """

    def __init__(self, metric: str, quiet: bool) -> None:
        self.metric = metric
        text = TextColumn("{task.description}")
        columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
        self.progress = Progress(*columns, console=console(), disable=quiet)
        self.task: TaskID | None = None
        self._score = ""

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Show the bar, already filled where the run is resumed."""
        total, done = int(trainer.estimated_stepping_batches), trainer.global_step
        self.task = self.progress.add_task("epoch", total=total, completed=done, note="")
        self.progress.start()

    def on_train_batch_end(self, trainer: lightning.Trainer, _: Any, outputs: Any, *__: Any) -> None:
        """Advance by one batch."""
        self._update(trainer, f"loss {float(outputs['loss']):.3f}{self._score}", advance=1)

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Show the validation metric from here on."""
        if self.metric in trainer.callback_metrics:
            self._score = f"  {self.metric} {float(trainer.callback_metrics[self.metric]):.3f}"

    def on_train_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Leave the finished bar."""
        self._update(trainer, self._score.strip())
        self.progress.stop()

    def on_exception(self, *_: Any) -> None:
        """Leave the bar where it stood."""
        self.progress.stop()

    def _update(self, trainer: lightning.Trainer, note: str, advance: int = 0) -> None:
        if self.task is not None:
            epoch = min(trainer.current_epoch + 1, trainer.max_epochs or 0)
            described = f"epoch {epoch}/{trainer.max_epochs}"
            self.progress.update(self.task, description=described, advance=advance, note=note)


class History(Callback):
    """Every logged metric after each epoch; goes into checkpoints, so that a resumed run keeps its past.

    Attributes:
        metrics: name -> value after each epoch; None where it was not measured.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, list[float | None]] = {}

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Note the epoch's metrics."""
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        for name in {*self.metrics, *logged}:
            past = self.metrics.setdefault(name, [])
            past += [None] * (trainer.current_epoch - len(past))
            past.append(logged.get(name))

    def state_dict(self) -> dict[str, Any]:
        """The history so far."""
        return {"metrics": {name: list(values) for name, values in self.metrics.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's history."""
        self.metrics = {name: list(values) for name, values in state_dict["metrics"].items()}
