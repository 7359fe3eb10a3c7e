"""The gate: a smaller variant is kept only where it is shown to answer as fp32 does; on few clips that cannot be told.

Its verdict is of the share of labels that differ and of the mean change of probabilities, each by a one-sided bound at
95 %. Altered copies of a recording are correlated with it, so clips are counted by recording: shares by the bound of
Korn and Graubard (``training.metrics.risk``), means by Student's t over recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import stats

from emotions.audio.windows import Float64Array, FloatArray, IntArray, Windows, pool
from emotions.bundle.targets import Range
from emotions.runtime.batch_shape import Run
from export.proof.proof import agrees, in_widths
from training.metrics.classification import score
from training.metrics.risk import LEVEL, risk_bound

MAX_DIFFERING = 0.05
"""Share of labels that may differ."""
MAX_CHANGE = 0.02
"""Mean over clips that the probability that changes most may change by."""
MAX_UAR_LOSS = 0.005
KEPT, REFUSED, UNCLEAR = "kept", "refused", "too few clips to tell"
_ROUNDING = 1e-9  # a loss of just the limit passes: in floats 0.905 - 0.9 is more than 0.005

Bounds = tuple[float, float]
"""Lower and upper one-sided bound, each at 95 %."""


@dataclass(frozen=True)
class GateClips:
    """Clips to judge a variant on.

    Attributes:
        windows: of each clip.
        weights: of each clip, (windows,) weights that they are pooled by.
        truth: target -> index of each clip's label, -1 where it is unknown; empty where no label is known.
        source: what the clips are, in words, without a name.
        units: (clips,) index of the recording that each is, or is altered from.
        recordings: how many of the first clips are recordings as they are.
    """

    windows: Sequence[Windows]
    weights: Sequence[Float64Array]
    truth: Mapping[str, Sequence[int]]
    source: str
    units: IntArray
    recordings: int


@dataclass(frozen=True)
class Verdict:
    """What a variant loses against fp32.

    Attributes:
        clips: how many recordings were judged, as they are.
        judged: how many clips with the altered and synthetic ones.
        differing: how many of these have another label, of any target.
        share: bounds of the share that differs.
        change: bounds of the mean change of the probability that changes most.
        uar: target -> fp32's and the variant's UAR, where labels are known.
        loss: target -> least that UAR falls by, at 95 %.
    """

    source: str
    clips: int
    judged: int
    differing: int
    share: Bounds
    change: Bounds
    uar: dict[str, tuple[float, float]]
    loss: dict[str, float]

    @property
    def verdict(self) -> str:
        """``kept``, ``refused``, or ``too few clips to tell``, with which fp32 is what runs."""
        if self._shown():
            return REFUSED
        return KEPT if self.share[1] <= MAX_DIFFERING and self.change[1] <= MAX_CHANGE else UNCLEAR

    def _shown(self) -> list[str]:
        """What is shown to be lost."""
        found = []
        if self.share[0] > MAX_DIFFERING:
            found.append(f"labels differ from fp32's on {self._differing()}, more than {MAX_DIFFERING:.0%}")
        if self.change[0] > MAX_CHANGE:
            found.append(f"probabilities change by at least {self.change[0]:.3f} on average (at most {MAX_CHANGE})")
        for target, (before, after) in self.uar.items():
            if self.loss[target] > MAX_UAR_LOSS + _ROUNDING:
                found.append(f"UAR of {target} falls from {before:.3f} to {after:.3f} (at most {MAX_UAR_LOSS} lower)")
        return found

    def _differing(self) -> str:
        return f"{self.differing} of {self.judged} clips"

    @property
    def faults(self) -> list[str]:
        """What keeps the variant out of a bundle, with the figures."""
        if self.verdict != UNCLEAR:
            return self._shown()
        share = f"at most {MAX_DIFFERING:.0%} of the labels differ: they do on {self._differing()}, so it may be up to"
        change = f"probabilities change by up to {self.change[1]:.3f} (at most {MAX_CHANGE})"
        return [f"{UNCLEAR} that {share} {self.share[1]:.1%}; {change}"]

    def figures(self) -> dict[str, Any]:
        """The verdict as JSON."""
        uar = {target: {"fp32": before, "variant": after} for target, (before, after) in self.uar.items()}
        limits = {"differing_share": MAX_DIFFERING, "change": MAX_CHANGE, "uar_loss": MAX_UAR_LOSS}
        return {
            "source": self.source,
            "clips": self.clips,
            "judged": self.judged,
            "differing": self.differing,
            "differing_share": [*self.share],
            "change": [*self.change],
            "uar": uar,
            "limits": limits,
            "verdict": self.verdict,
            "passed": self.verdict == KEPT,
        }


def judge(
    fp32: Run,
    variant: Run,
    clips: GateClips,
    targets: Mapping[str, list[str]],
    ranges: Mapping[str, Range] = MappingProxyType({}),
) -> Verdict:
    """Compare a variant's answers with fp32's, and its labels with the truth where it is known.

    Args:
        fp32: runs the fp32 graph.
        variant: runs the variant.
        clips: what to compare them on.
        targets: target -> labels or dimensions, in output order.
        ranges: of the targets of dimensions: a value that changes by more than ``SAME_VALUE`` is another answer.
    """
    before, after = (in_widths(_answers(run, clips, targets), ranges) for run in (fp32, variant))
    labels = {target: (before[target].argmax(axis=1), after[target].argmax(axis=1)) for target in targets}
    differs = np.any([~agrees(before[name], after[name], values=name in ranges) for name in targets], axis=0)
    change = np.max([np.abs(before[target] - after[target]).max(axis=1) for target in targets], axis=0)
    uar, loss = {}, {}
    for target, truth in clips.truth.items():
        uar[target] = (
            _uar(truth, labels[target][0], targets[target]),
            _uar(truth, labels[target][1], targets[target]),
        )
        loss[target] = _least_loss(np.array(truth), *labels[target])
    return Verdict(
        clips.source,
        clips.recordings,
        len(clips.windows),
        int(differs.sum()),
        share_bounds(differs.astype(np.float64), clips.units),
        mean_bounds(change.astype(np.float64), clips.units),
        uar,
        loss,
    )


def share_bounds(differs: Float64Array, units: IntArray) -> Bounds:
    """Bounds of a share of clips.

    Args:
        differs: (clips,) 1 or 0.
        units: (clips,) index of the recording that each is made from.
    """
    return 1 - risk_bound(1 - differs, units), risk_bound(differs, units)


def mean_bounds(values: Float64Array, units: IntArray) -> Bounds:
    """Bounds of a mean over clips, of values from 0 to 1; the standard error is at least that of independent clips.

    Args:
        values: (clips,).
        units: as ``share_bounds``.
    """
    count, off = len(np.unique(units)), values - values.mean()
    if count < 2:
        return 0.0, 1.0
    clustered = np.square(np.bincount(units, weights=off)).sum() * count / (count - 1)
    error = np.sqrt(max(clustered, np.square(off).sum())) / len(values)
    reach = float(stats.t.ppf(LEVEL, count - 1) * error)
    return max(float(values.mean()) - reach, 0.0), min(float(values.mean()) + reach, 1.0)


def _least_loss(truth: IntArray, before: IntArray, after: IntArray) -> float:
    """The lower bound of what UAR falls by, over the clips whose label is known."""
    known = truth >= 0
    right = (before[known] == truth[known]).astype(np.float64) - (after[known] == truth[known])
    _, place, sizes = np.unique(truth[known], return_inverse=True, return_counts=True)
    if len(right) < 2:
        return 0.0
    lost = right / sizes[place] / len(sizes)
    error = np.sqrt(np.square(lost - lost.mean()).sum() * len(lost) / (len(lost) - 1))
    return float(lost.sum() - stats.t.ppf(LEVEL, len(lost) - 1) * error)


def _answers(run: Run, clips: GateClips, targets: Mapping[str, list[str]]) -> dict[str, FloatArray]:
    """Pooled probabilities: target -> (clips, classes)."""
    answers = [run(clip.samples, clip.lengths) for clip in clips.windows]
    pairs = list(zip(answers, clips.weights, strict=True))
    return {target: np.stack([pool(answer[target], known) for answer, known in pairs]) for target in targets}


def _uar(truth: Sequence[int], predicted: IntArray, labels: list[str]) -> float:
    known = [(label, int(guess)) for label, guess in zip(truth, predicted, strict=True) if label >= 0]
    return float(score([label for label, _ in known], [guess for _, guess in known], labels)["uar"])
