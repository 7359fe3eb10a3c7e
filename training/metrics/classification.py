"""Figures of merit of a classification: UAR, WA, macro-F1, per class, confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support, recall_score

Scores = dict[str, Any]
"""JSON: ``uar``, ``wa``, ``macro_f1``, ``clips``, ``labels``, ``per_class``, ``confusion``."""


def score(truth: Sequence[int], predicted: Sequence[int], labels: Sequence[str]) -> Scores:
    """Compare predictions with the truth.

    Classes that never occur in the truth are left out of UAR and macro-F1: nobody knows how well they are found. They
    stay in the confusion matrix, and their recall is None.

    Args:
        truth: class index of each clip.
        predicted: class index that the model gave it.
        labels: names of the classes, in output order.

    Returns:
        ``uar`` (mean recall of the classes), ``wa`` (share of clips that are right), ``macro_f1``, ``clips``,
        ``labels``, ``per_class`` {label: {recall, precision, f1, clips}} and ``confusion`` (rows are the truth).

    Raises:
        ValueError: no clip, or as many truths as predictions are not there.
    """
    if not truth or len(truth) != len(predicted):
        raise ValueError(f"{len(truth)} truths and {len(predicted)} predictions cannot be compared")
    present = np.unique(truth)
    average = {"labels": present, "average": "macro", "zero_division": 0}
    return {
        "uar": float(recall_score(truth, predicted, **average)),
        "wa": float(accuracy_score(truth, predicted)),
        "macro_f1": float(f1_score(truth, predicted, **average)),
        "clips": len(truth),
        "labels": list(labels),
        "per_class": _per_class(truth, predicted, labels),
        "confusion": confusion_matrix(truth, predicted, labels=range(len(labels))).tolist(),
    }


def _per_class(truth: Sequence[int], predicted: Sequence[int], labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    columns = precision_recall_fscore_support(truth, predicted, labels=range(len(labels)), zero_division=0)
    rows = zip(labels, *(column.tolist() for column in columns), strict=True)
    return {
        label: {"recall": recall if clips else None, "precision": precision, "f1": f1, "clips": clips}
        for label, precision, recall, f1, clips in rows
    }
