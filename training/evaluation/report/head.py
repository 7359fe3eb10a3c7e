"""What every report of an evaluation says first: when, by what, with which seeds, and what leaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import emotions
from emotions.pipeline.provenance import made_by
from training.config.evaluate import EvaluateStep
from training.data.checks.leakage import Leaks
from training.features.teacher.teacher import EXTRA as TEACHER
from training.features.teacher.teacher import Teacher
from training.metrics.predictions import FoldPredictions


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What an evaluation by any protocol has trained.

    Attributes:
        predictions: of every training and seed.
        missing: what is said of an encoder that was left out.
    """

    leaks: Leaks
    predictions: Sequence[FoldPredictions]
    missing: str | None = None
    teacher: Teacher | None = None


def head(step: EvaluateStep, trained: Trained, protocol: str) -> dict[str, Any]:
    """Return the first part of ``report.json``.

    Args:
        step: the ``evaluate`` step.
        trained: leaks and predictions.
        protocol: in words.
    """
    return {
        "format": 1,
        **made_by(emotions.__version__),
        "model": step.model,
        "protocol": protocol,
        "seeds": sorted({each.seed for each in trained.predictions}),
        **({"missing": trained.missing} if trained.missing else {}),
        "training_seconds": round(sum(each.seconds for each in trained.predictions), 1),
        "leaks": trained.leaks.summary(),
        **({} if trained.teacher is None else {TEACHER: trained.teacher.summary()}),
    }
