"""The figures of an evaluation across corpora: one cell for each pair of what was trained on and what was tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from training.data.joined import Joined
from training.data.split.units import units_of
from training.evaluation.cross_corpus.plan import Plan
from training.evaluation.report.pooled import Pooled
from training.evaluation.report.summary import Measured, summarise
from training.metrics.calibration import calibration_of
from training.metrics.predictions import FoldPredictions, shares_of

Kind = Literal["within", "across", "left out"]
_KEPT = ("uar", "uar_ci", "wa", "wa_ci", "macro_f1", "macro_f1_ci", "clips", "speakers", "interval_over")
_OF_LABELS = ("labels", "confusion", "per_class")


def cells(corpora: Joined, planned: Plan, predictions: Sequence[FoldPredictions]) -> list[dict[str, Any]]:
    """The cells as JSON: trained on one corpus and tested on each, then trained on all but the one that is tested.

    Args:
        corpora: the clips.
        planned: the trainings.
        predictions: of each training and seed; ``fold`` is the training's index.
    """
    found = []
    for trained in dict.fromkeys(each.corpora for each in planned.trainings):
        own = [each for each in predictions if planned.trainings[each.fold].corpora == trained]
        pooled = Pooled.of(corpora.table, own, corpora.target)
        of = corpora.of[pooled.clips]
        found += [
            _cell(corpora, trained, int(tested), pooled.select(np.flatnonzero(of == tested)))
            for tested in np.unique(of)
        ]
    return found


def kind_of(trained: Sequence[int], tested: int) -> Kind:
    """Whether speakers of the trained corpus are tested, those of another one, or of the one that was left out."""
    return "left out" if len(trained) > 1 else "within" if tested in trained else "across"


def _cell(corpora: Joined, trained: Sequence[int], tested: int, pooled: Pooled) -> dict[str, Any]:
    table = corpora.table.select(pooled.clips.tolist())
    units, unit = units_of(table)
    labels = corpora.table.labels(corpora.target)
    place = {label: index for index, label in enumerate(labels)}
    truth = np.array([place[clip.labels[corpora.target]] for clip in table.clips], np.int64)
    found = summarise(Measured(labels, truth, pooled.before, units, unit), {})
    seeds = len(pooled.before)
    before, after = (each.reshape(-1, len(labels)) for each in (pooled.before, pooled.after))
    raters = shares_of(corpora.table, pooled.clips, corpora.target)
    told = np.concatenate([truth if raters is None else raters] * seeds)
    scores = calibration_of(before, after, told, np.tile(units, seeds))
    return {
        "trained_on": [corpora.names[each] for each in trained],
        "tested_on": corpora.names[tested],
        "kind": kind_of(trained, tested),
        **{name: found[name] for name in _KEPT},
        **{name: scores[f"{name}_after"] for name in ("ece", "nll", "brier")},
        **{name: found[name] for name in _OF_LABELS},
    }


def mean_of(found: Sequence[Mapping[str, Any]], kind: Kind) -> float | None:
    """Mean UAR of the cells of a kind; None where there is none."""
    values = [cell["uar"] for cell in found if cell["kind"] == kind]
    return float(np.mean(values)) if values else None
