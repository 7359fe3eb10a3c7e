"""How fast a graph runs beside another one, on one thread of a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from emotions.runtime.batch_shape import Run
from emotions.runtime.session import onnx_run, onnx_session
from export.proof.signals import Signals
from export.sources import Source

SHORTEST_SEC = 1e-3
"""Runs that are shorter are not compared: a service takes as long for all else of a request."""
_ROUNDS = 9


def relative_speed(path: Path, other: Path, source: Source, signals: Signals) -> float | None:
    """How many times as fast as ``path`` the graph ``other`` runs: by CPU time, so that other work counts for nothing.

    Args:
        path: an ONNX file.
        other: another of the same model.
        source: the model.
        signals: has the recordings, of which the longest is run, alone.

    Returns:
        The ratio of medians over runs that take turns; None where a run is shorter than ``SHORTEST_SEC``.
    """
    opened = [onnx_run(onnx_session(each, threads=1), list(source.targets)) for each in (path, other)]
    runs = [_alone(run, signals, trimmed=source.window.dynamic) for run in opened]
    for run in runs:
        run()
    took = [[_seconds(run) for run in runs] for _ in range(_ROUNDS)]
    slow, fast = (median(column) for column in zip(*took, strict=True))
    return slow / max(fast, 1e-9) if slow >= SHORTEST_SEC else None


def _alone(run: Run, signals: Signals, *, trimmed: bool) -> Callable[[], object]:
    """Run the longest recording by itself, without padding where the graph takes windows of any length."""
    at = int(signals.length[: len(signals) - signals.special].argmax())
    length = signals.length[at : at + 1]
    waveform = signals.waveform[at : at + 1, : length[0] if trimmed else None]
    return lambda: run(waveform, length)


def _seconds(run: Callable[[], object]) -> float:
    """CPU time of this thread, which alone computes."""
    started = time.thread_time()
    run()
    return time.thread_time() - started
