"""The gate: a smaller variant is kept only where it answers as fp32 does on clips that the model did not learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotions.audio.windows import Float64Array, FloatArray, Windows, pool
from emotions.runtime.batch_shape import Run
from training.metrics.classification import score

MAX_DIFFERING = 0.01
"""Share of clips whose label may differ; one clip always may."""
MAX_UAR_LOSS = 0.005
_ROUNDING = 1e-9  # a loss of just the limit passes: in floats 0.905 - 0.9 is more than 0.005


@dataclass(frozen=True)
class GateClips:
    """Clips to judge a variant on.

    Attributes:
        windows: of each clip.
        weights: of each clip, (windows,) weights that they are pooled by.
        truth: target -> index of each clip's label, -1 where it is unknown; empty where no label is known.
        source: what the clips are, in words, without a name.
    """

    windows: Sequence[Windows]
    weights: Sequence[Float64Array]
    truth: Mapping[str, Sequence[int]]
    source: str


@dataclass(frozen=True)
class Verdict:
    """What a variant loses against fp32.

    Attributes:
        differing: how many clips have another label, of any target.
        uar: target -> fp32's and the variant's UAR, where labels are known.
    """

    source: str
    clips: int
    differing: int
    uar: dict[str, tuple[float, float]]

    @property
    def faults(self) -> list[str]:
        """What keeps the variant out of a bundle, with the figures."""
        most = max(1, int(self.clips * MAX_DIFFERING))
        found = []
        if self.differing > most:
            found.append(f"labels differ from fp32's on {self.differing} of {self.clips} clips (at most {most})")
        for target, (before, after) in self.uar.items():
            if before - after > MAX_UAR_LOSS + _ROUNDING:
                found.append(f"UAR of {target} falls from {before:.3f} to {after:.3f} (at most {MAX_UAR_LOSS} lower)")
        return found

    def figures(self) -> dict[str, Any]:
        """The verdict as JSON."""
        uar = {target: {"fp32": before, "variant": after} for target, (before, after) in self.uar.items()}
        limits = {"differing": max(1, int(self.clips * MAX_DIFFERING)), "uar_loss": MAX_UAR_LOSS}
        return {
            "source": self.source,
            "clips": self.clips,
            "differing": self.differing,
            "uar": uar,
            "limits": limits,
            "passed": not self.faults,
        }


def judge(fp32: Run, variant: Run, clips: GateClips, targets: Mapping[str, list[str]]) -> Verdict:
    """Compare a variant's labels with fp32's, and with the truth where it is known.

    Args:
        fp32: runs the fp32 graph.
        variant: runs the variant.
        clips: what to compare them on.
        targets: target -> labels, in output order.
    """
    before, after = (_labels(run, clips, targets) for run in (fp32, variant))
    differing = int(np.any([before[target] != after[target] for target in targets], axis=0).sum())
    uar = {
        target: (_uar(truth, before[target], targets[target]), _uar(truth, after[target], targets[target]))
        for target, truth in clips.truth.items()
    }
    return Verdict(clips.source, len(clips.windows), differing, uar)


def _labels(run: Run, clips: GateClips, targets: Mapping[str, list[str]]) -> dict[str, FloatArray]:
    """Index of the label that pooled probabilities name: target -> (clips,)."""
    answers = [run(clip.samples, clip.lengths) for clip in clips.windows]
    pairs = list(zip(answers, clips.weights, strict=True))
    return {target: np.array([pool(answer[target], known).argmax() for answer, known in pairs]) for target in targets}


def _uar(truth: Sequence[int], predicted: FloatArray, labels: list[str]) -> float:
    known = [(label, int(guess)) for label, guess in zip(truth, predicted, strict=True) if label >= 0]
    return float(score([label for label, _ in known], [guess for _, guess in known], labels)["uar"])
