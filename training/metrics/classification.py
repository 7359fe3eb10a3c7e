"""Metrics of a classification from its confusion matrix: UAR, WA, macro-F1, and recall, precision and F1 by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from emotions.audio.windows import IntArray

Array = npt.NDArray[np.float64]
Scores = dict[str, Any]
"""JSON: ``uar``, ``wa``, ``macro_f1``, ``clips``, ``labels``, ``per_class``, ``confusion``."""


def score(truth: Sequence[int] | IntArray, predicted: Sequence[int] | IntArray, labels: Sequence[str]) -> Scores:
    """Compare predictions with the truth.

    Classes that never occur in the truth are left out of UAR and macro-F1, because their recall is undefined. They stay
    in the confusion matrix, and their recall is None.

    Args:
        truth: (clips,) class indices.
        predicted: (clips,) class indices.
        labels: names of the classes, in output order.

    Returns:
        ``uar`` (mean recall of the classes), ``wa`` (accuracy), ``macro_f1``, ``clips``, ``labels``, ``per_class``
        {label: {recall, precision, f1, clips}} and ``confusion`` (rows are the truth).

    Raises:
        ValueError: there is no clip, or the two differ in length.
    """
    if not len(truth) or len(truth) != len(predicted):
        raise ValueError(f"{len(truth)} truths and {len(predicted)} predictions cannot be compared")
    one_unit = np.zeros(len(truth), np.int64)
    counts = confusions(np.asarray(truth), np.asarray(predicted)[None], len(labels), one_unit)[0, 0]
    found, clips = figures(counts), counts.sum(axis=1).astype(int).tolist()
    columns = (np.nan_to_num(found[name]).tolist() for name in ("recall", "precision", "f1"))
    rows = zip(labels, *columns, clips, strict=True)
    return {
        **{name: float(found[name]) for name in ("uar", "wa", "macro_f1")},
        "clips": len(truth),
        "labels": list(labels),
        "per_class": {
            label: {"recall": recall if count else None, "precision": precision, "f1": f1, "clips": count}
            for label, recall, precision, f1, count in rows
        },
        "confusion": counts.astype(int).tolist(),
    }


def confusions(truth: IntArray, predicted: IntArray, classes: int, units: IntArray) -> Array:
    """Confusion matrices, (units, seeds, classes, classes), rows the truth.

    Args:
        truth: (clips,) class indices.
        predicted: (seeds, clips) class indices.
        classes: number of classes.
        units: (clips,) index of the unit, such as the speaker, that each clip belongs to.
    """
    counts = np.zeros((int(units.max()) + 1, len(predicted), classes, classes))
    for seed, classified in enumerate(predicted):
        np.add.at(counts[:, seed], (units, truth, classified), 1)
    return counts


def figures(counts: Array) -> dict[str, Array]:
    """Metrics of confusion matrices (..., classes, classes).

    Returns:
        ``uar``, ``wa``, ``macro_f1`` (...), over the classes that occur; ``recall``, ``precision``, ``f1`` (...,
        classes), NaN where a class does not occur.
    """
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    true, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = right / true
        precision = np.where(predicted > 0, right / predicted, np.where(true > 0, 0.0, np.nan))
        f1 = np.where(true > 0, 2 * right / (true + predicted), np.nan)
        wa = right.sum(axis=-1) / true.sum(axis=-1)
    occurring = np.maximum((true > 0).sum(axis=-1), 1)
    means = {"uar": np.nansum(recall, axis=-1) / occurring, "macro_f1": np.nansum(f1, axis=-1) / occurring}
    return {**means, "wa": wa, "recall": recall, "precision": precision, "f1": f1}
