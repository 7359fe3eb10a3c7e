"""Live table of a running search: its trials, the best so far, and the time left."""

from __future__ import annotations

import time
from typing import Self

from rich.live import Live
from rich.table import Table

from emotions.pipeline.runner import console
from training.tuning.records import Results, SearchRecord, TrialRecord, flattened, shown

_ROWS = 12
_PAUSE_SEC = 0.5


class LiveTable:
    """A live table on stderr: the running trials, and the best of those that have ended."""

    def __init__(self, results: Results, search: SearchRecord, *, quiet: bool) -> None:
        self._results, self._search = results, search
        self._quiet = quiet
        self._live = Live(console=console(), auto_refresh=False) if console().is_terminal and not quiet else None
        self._started, self._drawn = time.monotonic(), 0.0
        self._before = sum(trial.epochs for trial in results.trials())

    def __enter__(self) -> Self:
        """Start the display."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Show the final table, and stop."""
        self._drawn = 0.0
        self.show()
        if self._live is not None:
            self._live.stop()

    def show(self) -> None:
        """Refresh the table, at most twice a second."""
        if self._live is None or time.monotonic() - self._drawn < _PAUSE_SEC:
            return
        self._live.update(self._table(), refresh=True)
        self._drawn = time.monotonic()

    def ended(self, trial: TrialRecord) -> None:
        """Print a line on a trial that has ended, where no table is shown: in a log."""
        if self._live is None and not self._quiet:
            why = f" ({trial.reason})" if trial.reason else ""
            text = f"trial {trial.number} {trial.state} after {trial.epochs} epochs{self._metric(trial, ', ')}{why}"
            console().print(text, markup=False, highlight=False)

    def _metric(self, trial: TrialRecord | None, prefix: str) -> str:
        best = None if trial is None else trial.best(self._search)
        return "" if best is None else f"{prefix}{self._search.metric} {best[1]:.3f}"

    def _table(self) -> Table:
        ranked = self._results.ranked(self._search)
        running = [trial for trial in ranked if not trial.ended]
        ended = [trial for trial in ranked if trial.ended]
        best = self._metric(ranked[0] if ranked else None, ", best ")
        title = f"{len(ended)} of {self._search.num_samples} trials ended{best}{self._time_left(ranked)}"
        table = Table(title=title, title_justify="left")
        for heading in ("trial", "state", self._search.metric, "epochs", "values"):
            table.add_column(heading, overflow="fold")
        for trial in [*running, *ended][:_ROWS]:
            best_of_trial = trial.best(self._search)
            value = "" if best_of_trial is None else f"{best_of_trial[1]:.3f}"
            values = " ".join(f"{name}={shown(each)}" for name, each in flattened(trial.values).items())
            table.add_row(str(trial.number), trial.state, value, str(trial.epochs), values)
        return table

    def _time_left(self, trials: list[TrialRecord]) -> str:
        """Time left, if every epoch takes as long as those so far."""
        done = sum(trial.epochs for trial in trials) - self._before
        if done < 1:
            return ""
        saved = sum(self._search.max_epochs - trial.epochs for trial in trials if trial.ended)
        total = self._search.num_samples * self._search.max_epochs - self._before - saved
        seconds = (time.monotonic() - self._started) * max(0, total - done) / done
        return f", about {seconds / 60:.0f} min left" if seconds >= 60 else f", about {seconds:.0f} s left"
