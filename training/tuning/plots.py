"""Plots of a search: best metric so far, importance of the values, and parallel coordinates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training.config.tune import SearchSpace
from training.metrics.plots import BLUE, INK, ORANGE, save_figure
from training.tuning.records import SearchRecord, TrialRecord, flattened

_MIN_TRIALS_FOR_IMPORTANCE = 8  # importance is a mean over a random forest

Scored = list[tuple[TrialRecord, float]]


def draw_pictures(folder: Path, search: SearchRecord, trials: Sequence[TrialRecord]) -> list[Path]:
    """Draw the plots that the trials so far allow.

    Args:
        folder: folder of the PNGs.
        search: the search.
        trials: its trials, in any order.

    Returns:
        The files: ``best_so_far.png``, ``parallel_coordinates.png``, ``importance.png``; the latter two need several
        trials with a metric.
    """
    best = [(trial, trial.best(search)) for trial in sorted(trials, key=lambda trial: trial.number)]
    scored: Scored = [(trial, found[1]) for trial, found in best if found is not None and trial.state != "failed"]
    drawn: list[Path] = []

    def draw(name: str, size: tuple[float, float], paint: Callable[[Figure], None]) -> None:
        save_figure(folder / name, size, paint)
        drawn.append(folder / name)

    if scored:
        draw("best_so_far.png", (7, 4), lambda figure: _best_so_far(figure, search, scored))
    if len(scored) > 1:
        wide = max(6.0, 1.6 * (len(search.spaces) + 1))
        draw("parallel_coordinates.png", (wide, 4.5), lambda figure: _parallel(figure, search, scored))
    shares = importance(search, scored)
    if shares:
        draw("importance.png", (7, 1.2 + 0.4 * len(shares)), lambda figure: _importance(figure, search, shares))
    return drawn


def _best_so_far(figure: Figure, search: SearchRecord, scored: Scored) -> None:
    axis = figure.subplots()
    numbers, values = [trial.number for trial, _ in scored], [value for _, value in scored]
    gather = np.maximum if search.mode == "max" else np.minimum
    axis.plot(numbers, values, "o", color=BLUE, alpha=0.6, label="trial")
    axis.step(numbers, gather.accumulate(values), where="post", color=ORANGE, label="best so far")
    axis.set(xlabel="trial", ylabel=search.metric, title=f"{search.model}: best of {len(scored)} trials")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)


def importance(search: SearchRecord, scored: Scored) -> dict[str, float]:
    """Share of the metric's variance that each searched value explains, largest first (fANOVA, Hutter et al., 2014).

    Args:
        search: its search spaces.
        scored: trials with their best metric.

    Returns:
        Short name of the value -> share; empty where there are too few trials, or all have the same metric.
    """
    if len(scored) < _MIN_TRIALS_FOR_IMPORTANCE or np.ptp([value for _, value in scored]) == 0:
        return {}
    import optuna

    from training.tuning.samplers import distribution_of, parameter_of

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spaces = {path: SearchSpace.model_validate(space) for path, space in search.spaces.items()}
    kinds = {path: distribution_of(space) for path, space in spaces.items()}
    study = optuna.create_study(direction="maximize")
    for trial, value in scored:
        known = {path: parameter_of(space, trial.values[path]) for path, space in spaces.items()}
        study.add_trial(optuna.trial.create_trial(params=known, distributions=kinds, value=value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    named = flattened(found)
    return dict(sorted(named.items(), key=lambda item: -item[1]))


def _importance(figure: Figure, search: SearchRecord, shares: dict[str, float]) -> None:
    axis = figure.subplots()
    names = list(reversed(shares))
    axis.barh(names, [shares[name] for name in names], color=BLUE)
    axis.set(xlabel="share of the variance that it explains", title=f"what {search.metric} depends on")
    axis.spines[["top", "right"]].set_visible(False)


def _parallel(figure: Figure, search: SearchRecord, scored: Scored) -> None:
    axis = figure.subplots()
    paths = list(search.spaces)
    columns = [_heights([trial.values[path] for trial, _ in scored], search.spaces[path]) for path in paths]
    values = [value for _, value in scored]
    scale = Normalize(min(values), max(values))
    colours = mpl.colormaps["viridis"]
    order = np.argsort(values if search.mode == "max" else [-value for value in values])
    for row in order:
        line = [heights[row] for heights, _ in columns]
        axis.plot(range(len(paths)), line, "o-", color=colours(scale(values[row])), alpha=0.8, markersize=3)
    for place, (_, marks) in enumerate(columns):
        axis.axvline(place, color=INK, alpha=0.25, linewidth=0.8)
        for height, text in marks:
            axis.annotate(text, (place, height), xytext=(4, 0), textcoords="offset points", fontsize=7, va="center")
    axis.set_xticks(range(len(paths)), list(flattened(dict.fromkeys(paths))), rotation=20, ha="right")
    axis.set(ylim=(-0.05, 1.05), yticks=[])
    axis.spines[["top", "right", "left"]].set_visible(False)
    figure.colorbar(ScalarMappable(scale, colours), ax=axis, label=search.metric)


def _heights(values: Sequence[Any], space: dict[str, Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Height of each value, 0 to 1, and the axis' labels as (height, text)."""
    kind = SearchSpace.model_validate(space)
    if kind.choice is not None:
        last = max(1, len(kind.choice) - 1)
        marks = [(index / last, str(choice)) for index, choice in enumerate(kind.choice)]
        return [kind.choice.index(value) / last for value in values], marks
    low, high = kind.values
    transform = np.log if kind.loguniform is not None else np.asarray
    bottom, top = float(transform(low)), float(transform(high))
    heights = [(float(transform(value)) - bottom) / (top - bottom) for value in values]
    return heights, [(0.0, f"{low:g}"), (1.0, f"{high:g}")]
