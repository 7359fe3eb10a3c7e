"""One pass of a layer over all clips, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from emotions.runtime.prediction import Prediction


@dataclass(frozen=True)
class Pass:
    """One pass of a layer over all clips.

    Attributes:
        cpu_sec: of this process: the layer's own, or the client's.
        latencies_sec: of each request to a service.
        max_abs_diff: largest difference of a clip's probability to that of the model alone.
        stages_sec: of each stage, where the layer knows them.
    """

    wall_sec: float
    cpu_sec: float
    server_cpu_sec: float = 0.0
    latencies_sec: tuple[float, ...] = ()
    max_abs_diff: float = 0.0
    stages_sec: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """Something that classifies all clips, once a call of ``run``."""

    name: str
    run: Callable[[], Pass]


def layer_name(name: str, connections: int) -> str:
    """Name of a service's layer at a number of connections.

    Args:
        name: of the service.
        connections: HTTP connections at once.
    """
    return f"{name} {connections} connection{'s' if connections > 1 else ''}"


def largest_difference(answers: Iterable[dict[str, dict[str, float]]], expected: Sequence[Prediction]) -> float:
    """Largest difference of a probability or value to the expected one; infinite where a label is missing.

    Args:
        answers: ``answer[target][label]`` of each clip.
        expected: the prediction of each clip.
    """
    return max(
        abs(answer.get(target, {}).get(label, np.inf) - probability)
        for answer, prediction in zip(answers, expected, strict=True)
        for target, scores in prediction.answers.items()
        for label, probability in scores.items()
    )
