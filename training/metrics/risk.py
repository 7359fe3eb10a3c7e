"""The confidence threshold that holds a risk, the share of errors among accepted clips, for speakers never heard.

Thresholds are tested one after the other, from the highest down, each by whether the upper bound of its risk is at most
what was asked for; the first that fails ends it (fixed-sequence testing: A. N. Angelopoulos, S. Bates, E. J. Candès,
M. I. Jordan and L. Lei, "Learn then Test", 2021, arXiv:2110.01052). Clips of a speaker are correlated, so the bound is
that of Clopper and Pearson on the effective sample size n / deff, adjusted for the degrees of freedom that few speakers
leave (E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small expected number of positive
counts estimated from survey data", Survey Methodology 24(2), 1998).
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import stats
from scipy.special import betaincinv

from emotions.audio.windows import Float64Array, IntArray
from training.metrics.held_out import HeldOut

MIN_CLIPS = 50
MIN_SPEAKERS = 6
"""Fewest held-out clips, and speakers of them, that a threshold is chosen on."""
LEVEL = 0.95
MIN_CORRELATION = 0.1
"""Least correlation of a speaker's errors that is reckoned with, as few errors do not show one that is there. With 0.05
a risk of 0.2 was exceeded in 5.8 % of simulated sets (deviation between speakers 1.0 logit), with 0.1 in 1.7 %."""
_STEPS = 20  # thresholds that are tested: each accepts a twentieth more of the clips
_START = 0.25  # the first one tested would hold if a quarter of the risk were observed: fewer clips would mostly fail


def shortage(answers: HeldOut) -> str | None:
    """What a threshold lacks, in words; None where there are enough clips and speakers."""
    if len(answers) >= MIN_CLIPS and answers.count >= MIN_SPEAKERS:
        return None
    return (
        f"{len(answers)} {answers.part} of {answers.count} {answers.unit}s are too few to choose a threshold on: "
        f"at least {MIN_CLIPS} clips of {MIN_SPEAKERS} {answers.unit}s are needed"
    )


def threshold_for(answers: HeldOut, max_risk: float) -> float | None:
    """The lowest confidence above which the risk for new speakers is at most ``max_risk``, at a level of 95 %.

    Args:
        answers: held-out answers.
        max_risk: largest share of errors among the accepted clips.

    Returns:
        The threshold; None where no threshold can be told to hold, and where ``shortage`` says what is missing.
    """
    if shortage(answers) is not None:
        return None
    order = np.argsort(-answers.confidence, kind="stable")
    falling, found = answers.select(order), None
    for accepted in _accepted(falling.confidence):
        wrong, speakers = falling.wrong[:accepted], falling.speakers[:accepted]
        if found is None and not _can_hold(speakers, max_risk):
            continue
        if risk_bound(wrong, speakers) > max_risk:
            break
        found = float(falling.confidence[accepted - 1])
    return found


def _accepted(falling: Float64Array) -> list[int]:
    """How many clips each threshold accepts, ascending; clips of one confidence are accepted together."""
    last = np.flatnonzero(np.append(np.diff(falling) != 0, True)) + 1
    wanted = np.ceil(len(falling) * np.arange(1, _STEPS + 1) / _STEPS)
    return [int(count) for count in np.unique(last[np.searchsorted(last, wanted)])]


def _can_hold(speakers: IntArray, max_risk: float) -> bool:
    """Whether a threshold would hold at a small observed risk; that does not look at the errors."""
    return _upper(_START * max_risk, _effective(speakers, 1.0)) <= max_risk


def risk_bound(wrong: Float64Array, speakers: IntArray) -> float:
    """Upper bound of a share of errors, one-sided, at a level of 95 %.

    Args:
        wrong: (clips,) 1 for an error, else 0.
        speakers: (clips,) index of each clip's speaker.
    """
    clips, risk = len(wrong), float(wrong.mean())
    sizes, errors = np.bincount(speakers), np.bincount(speakers, weights=wrong)
    present = max(int((sizes > 0).sum()), 2)
    clustered = present / (present - 1) * float(np.square(errors - risk * sizes).sum()) / clips**2
    independent = risk * (1 - risk) / clips
    return _upper(risk, _effective(speakers, clustered / independent if independent else 1.0))


def _effective(speakers: IntArray, design_effect: float) -> float:
    """Clips that are worth as much as these, if each were of another speaker; 0 where there is one speaker alone."""
    sizes = np.bincount(speakers)
    present, clips = int((sizes > 0).sum()), len(speakers)
    if present < 2:
        return 0.0
    least = 1 + (float(np.square(sizes).sum()) / clips - 1) * MIN_CORRELATION
    of_freedom = (_student(clips - 1) / _student(present - 1)) ** 2
    return min(clips, clips / max(design_effect, least) * of_freedom)


@functools.lru_cache(maxsize=4_096)
def _student(freedom: int) -> float:
    return float(stats.t.ppf(LEVEL, freedom))


def _upper(share: float, clips: float) -> float:
    """The upper bound of Clopper and Pearson."""
    errors = share * clips
    return 1.0 if errors >= clips else float(betaincinv(errors + 1, clips - errors, LEVEL))
