"""What a person sees of a running search: its trials, the best so far, the time that is left."""

from __future__ import annotations

import time
from typing import Self

from rich.live import Live
from rich.table import Table

from emotions.pipeline.runner import console
from training.tuning.records import Results, SearchRecord, TrialRecord, flattened

_ROWS = 12
_PAUSE_SEC = 0.5


class LiveTable:
    """A live table on stderr: the trials that run, and the best of those that have ended.

    Args:
        results: the records.
        search: what is searched.
        quiet: show nothing.
    """

    def __init__(self, results: Results, search: SearchRecord, *, quiet: bool) -> None:
        self._results, self._search = results, search
        self._quiet = quiet
        self._live = Live(console=console(), auto_refresh=False) if console().is_terminal and not quiet else None
        self._began, self._drawn = time.monotonic(), 0.0
        self._before = sum(trial.epochs for trial in results.trials())

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last table."""
        self._drawn = 0.0
        self.show()
        if self._live is not None:
            self._live.stop()

    def show(self) -> None:
        """Show how things stand; at most twice a second."""
        if self._live is None or time.monotonic() - self._drawn < _PAUSE_SEC:
            return
        self._live.update(self._table(), refresh=True)
        self._drawn = time.monotonic()

    def ended(self, trial: TrialRecord) -> None:
        """Say on a line what became of a trial, where no table is shown: in a log."""
        if self._live is None and not self._quiet:
            best = trial.best(self._search)
            told = "" if best is None else f", {self._search.metric} {best[1]:.3f}"
            why = f" ({trial.reason})" if trial.reason else ""
            text = f"trial {trial.number} {trial.state} after {trial.epochs} epochs{told}{why}"
            console().print(text, markup=False, highlight=False)

    def _table(self) -> Table:
        ranked = self._results.ranked(self._search)
        running = [trial for trial in ranked if not trial.ended]
        ended = [trial for trial in ranked if trial.ended]
        table = Table(title=self._title(ranked, len(ended)), title_justify="left")
        for heading in ("trial", "state", self._search.metric, "epochs", "values"):
            table.add_column(heading, overflow="fold")
        for trial in [*running, *ended][:_ROWS]:
            best = trial.best(self._search)
            value = "" if best is None else f"{best[1]:.3f}"
            table.add_row(str(trial.number), trial.state, value, str(trial.epochs), described(trial))
        return table

    def _title(self, trials: list[TrialRecord], ended: int) -> str:
        total = self._search.num_samples
        best = next((each.best(self._search) for each in trials if each.best(self._search)), None)
        told = "" if best is None else f", best {self._search.metric} {best[1]:.3f}"
        return f"{ended} of {total} trials ended{told}{self._left(trials)}"

    def _left(self, trials: list[TrialRecord]) -> str:
        """Time left, if every epoch takes as long as those so far."""
        done = sum(trial.epochs for trial in trials) - self._before
        if done < 1:
            return ""
        saved = sum(self._search.max_epochs - trial.epochs for trial in trials if trial.ended)
        wanted = self._search.num_samples * self._search.max_epochs - self._before - saved
        seconds = (time.monotonic() - self._began) * max(0, wanted - done) / done
        return f", about {seconds / 60:.0f} min left" if seconds >= 60 else f", about {seconds:.0f} s left"


def described(trial: TrialRecord) -> str:
    """A trial's values on one line."""
    return " ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in flattened(trial.values).items()
    )
