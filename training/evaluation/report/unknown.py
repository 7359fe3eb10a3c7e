"""What a threshold for a risk does to speakers that had no part in choosing it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emotions.audio.windows import IntArray
from training.metrics.held_out import HeldOut
from training.metrics.risk import shortage, threshold_for


def unknown_of(
    answers: Sequence[HeldOut], folds: IntArray, max_risk: float, validation: Sequence[HeldOut]
) -> dict[str, Any]:
    """Coverage and risk on each fold's test clips of the threshold that the answers to other speakers give.

    Args:
        answers: of each seed, those to the test clips of all folds.
        folds: (clips,) fold of each test clip.
        max_risk: largest share of errors among the accepted clips.
        validation: of each seed, those to validation clips, which take the place of other folds where there is one.

    Returns:
        ``max_risk``, ``coverage`` and ``risk``, None where nothing is answered; ``refused`` where the answers are too
        few to choose a threshold on, in words.
    """
    accepted, missing = [], None
    for seed, found in enumerate(answers):
        for fold in np.unique(folds):
            alone = bool((folds == fold).all())
            others = validation[seed] if alone else found.select(folds != fold)
            missing = missing or shortage(others)
            threshold = threshold_for(others, max_risk)
            above = folds == fold if threshold is None else (folds == fold) & (found.confidence >= threshold)
            accepted.append(found.wrong[above & (threshold is not None)])
    wrong = np.concatenate(accepted)
    share = len(wrong) / (len(answers) * len(folds))
    about = {"max_risk": max_risk, "coverage": share, "risk": float(wrong.mean()) if len(wrong) else None}
    return about if missing is None else {**about, "refused": missing}
