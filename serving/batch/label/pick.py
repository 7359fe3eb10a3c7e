"""Which recordings are worth a person's time: a random share first, then those that say most about the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from emotions.bundle.reference.drift import Comparison
from emotions.bundle.reference.observation import ANSWERS, Observation
from serving.batch.label.answers import Answer, divergence

RANDOM, UNCERTAIN, WINDOWS, MODELS, DRIFTED = (
    "random",
    "least certain",
    "windows disagree",
    "models disagree",
    "drifted",
)
_ENOUGH = 0.05  # bits: windows or models that differ by less do not disagree


@dataclass(frozen=True)
class Picked:
    """A recording, why it was picked, and by what figure.

    Attributes:
        chance: with which any recording was picked at random: the labels of those are an honest sample.
    """

    answer: Answer
    reason: str
    figure: float
    chance: float


@dataclass(frozen=True)
class Plan:
    """How recordings are picked.

    Attributes:
        count: how many.
        random_share: share of them that are drawn at random, 0 to 1.
        seed: of the draw.
        others: answers of another model to the same recordings, by file.
        comparison: with the reference of the bundle; None where it has none.
    """

    count: int = 100
    random_share: float = 0.25
    seed: int = 0
    others: Mapping[str, Answer] = field(default_factory=dict)
    comparison: Comparison | None = None


def pick(answers: Sequence[Answer], plan: Plan) -> list[Picked]:
    """Pick recordings, each for one reason; the reasons take turns, so that none crowds out another.

    Args:
        answers: of all recordings.
        plan: how.
    """
    count = min(plan.count, len(answers))
    drawn = np.random.default_rng(plan.seed).permutation(len(answers))[: round(count * plan.random_share)]
    chance = len(drawn) / len(answers) if answers else 0.0
    found = {int(at): Picked(answers[at], RANDOM, chance, chance) for at in drawn}
    queues = {reason: _ranked(figures) for reason, figures in _figures(answers, plan).items()}
    while len(found) < count and queues:
        for reason, queue in [*queues.items()]:
            at, figure = next(((at, figure) for at, figure in queue if at not in found), (-1, 0.0))
            if at < 0:
                del queues[reason]
            elif len(found) < count:
                found[at] = Picked(answers[at], reason, figure, chance)
    return [*found.values()]


def _ranked(figures: Mapping[int, float]) -> list[tuple[int, float]]:
    return sorted(figures.items(), key=lambda each: -each[1])


def _figures(answers: Sequence[Answer], plan: Plan) -> dict[str, dict[int, float]]:
    """Reason -> index -> how much it holds of a recording; those of which it does not hold are left out."""
    uncertain = {at: 1 - answer.confidence for at, answer in enumerate(answers)}
    windows = {at: bits for at, answer in enumerate(answers) if (bits := answer.disagreement) > _ENOUGH}
    models = {
        at: bits
        for at, answer in enumerate(answers)
        if answer.file in plan.others and (bits := _between(answer, plan.others[answer.file])) > _ENOUGH
    }
    return {UNCERTAIN: uncertain, WINDOWS: windows, MODELS: models, DRIFTED: _drifted(answers, plan.comparison)}


def _between(one: Answer, other: Answer) -> float:
    """How far two models disagree, in bits, on the targets and labels that both have."""
    bits = [0.0]
    for target, scores in one.scores.items():
        theirs = other.scores.get(target, {})
        if {*theirs} == {*scores}:
            bits.append(divergence(np.array([[*scores.values()], [theirs[label] for label in scores]])))
    return max(bits)


def _drifted(answers: Sequence[Answer], comparison: Comparison | None) -> dict[int, float]:
    """Distance of each recording's answers from the reference's, where it is beyond what nearly all of those have."""
    space = None if comparison is None else comparison.reference.spaces.get(ANSWERS)
    if space is None:
        return {}
    axes, mean = np.array(space.axes).T, np.array(space.mean)
    most = np.sqrt(len(space.variances)) + 3  # the distance is about the root of the number of axes
    found = {}
    for at, answer in enumerate(answers):
        point = Observation(answer.scores).point(ANSWERS)
        if point is not None and len(point) == len(mean):
            distance = float(np.sqrt((np.square((point - mean) @ axes) / space.variances).sum()))
            if distance > most:
                found[at] = distance
    return found
