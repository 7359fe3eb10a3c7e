"""How far raters agree: Krippendorff's alpha of labels, ties, and recordings that all rate alike.

K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", University of Pennsylvania, 2011, section C: nominal
data, any number of observers, missing data. The package ``krippendorff`` computes the same; its licence, the GPL, does
not suit a toolkit under Apache 2.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from emotions.audio.windows import Float64Array
from training.data.clips import Clip, ClipTable
from training.data.ratings import tied


def alpha(votes: Float64Array) -> float | None:
    """Krippendorff's alpha of nominal data: 1 is perfect agreement, 0 is what chance has.

    Args:
        votes: (clips, labels) how many raters gave each label; clips of fewer than two ratings say nothing.

    Returns:
        None where nothing can be compared: no clip has two ratings, or all ratings are of one label.
    """
    paired = votes[votes.sum(axis=1) >= 2]
    ratings = paired.sum(axis=1)
    given, every = paired.sum(axis=0), paired.sum()
    expected = every**2 - (given**2).sum()
    if not len(paired) or expected <= 0:
        return None
    observed = ((ratings**2 - (paired**2).sum(axis=1)) / (ratings - 1)).sum()
    return float(1 - (every - 1) * observed / expected)


def agreement(table: ClipTable, target: str) -> dict[str, Any]:
    """The agreement of the raters of a target, as JSON.

    Args:
        table: the clips.
        target: name of the target.

    Returns:
        ``clips`` that have a distribution; ``ties``, of which several labels have the largest share; ``unanimous``, the
        share of the clips with one label alone; ``entropy``, the mean of the distributions in nats; and where ratings
        are known, not their shares alone, ``ratings``, ``rated_twice`` (clips that two or more rated) and ``alpha``.
    """
    clips = [clip for clip in table.clips if target in clip.shares]
    shares = np.array([[clip.shares[target].get(label, 0.0) for label in table.labels(target)] for clip in clips])
    found: dict[str, Any] = {
        "clips": len(clips),
        "ties": sum(len(tied(clip.shares[target])) > 1 for clip in clips),
        "unanimous": float((shares.max(axis=1) > 1 - 1e-6).mean()),
        "entropy": float(-(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1).mean()),
    }
    counts = [_ratings(clip, target) for clip in clips]
    if all(counts):
        votes = np.round(shares * np.array(counts)[:, None])
        twice = int((votes.sum(axis=1) >= 2).sum())
        found |= {"ratings": int(votes.sum()), "rated_twice": twice, "alpha": alpha(votes)}
    return found


def _ratings(clip: Clip, target: str) -> int:
    return clip.raters.get(target, 0)


def agreement_line(target: str, found: dict[str, Any]) -> str:
    """The agreement in a sentence, of what ``agreement`` gives."""
    kept = (
        f"{found['unanimous']:.0%} of {found['clips']} recordings are rated alike by all, {found['ties']} are ties, "
        "which are learnt as they are and count as the label that is given more often in all the data"
    )
    if "ratings" not in found:
        return f"{target} is learnt from shares of raters: {kept}"
    told = "cannot be told" if found["alpha"] is None else f"is {found['alpha']:.3f}"
    return f"{target} is learnt from {found['ratings']} ratings: Krippendorff's alpha {told}; {kept}"
