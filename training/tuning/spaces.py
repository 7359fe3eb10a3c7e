"""The search spaces of a ``tune`` step, draws from them, and the ``train`` step of a draw."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from emotions.errors import ConfigError
from training.config.train import TrainStep, train_faults
from training.config.tune import SearchSpace, TuneStep

Values = dict[str, Any]
"""Dotted path in the step, such as ``learn_params.lr.base_lr``, -> value."""

MAX_DRAWS = 1000


def search_spaces(step: TuneStep) -> dict[str, SearchSpace]:
    """Dotted path -> search space, in the order of the step."""
    blocks = {"model_architecture": step.model_architecture, "learn_params": step.learn_params}
    return {path: space for name, block in blocks.items() for path, space in _spaces_in(block, name).items()}


def _spaces_in(block: BaseModel, where: str) -> dict[str, SearchSpace]:
    found: dict[str, SearchSpace] = {}
    for key, value in block:
        if isinstance(value, SearchSpace):
            found[f"{where}.{key}"] = value
        elif isinstance(value, BaseModel):
            found.update(_spaces_in(value, f"{where}.{key}"))
    return found


def check_searched(step: TuneStep) -> None:
    """Refuse a step of which every value is fixed, with a ConfigError."""
    if not search_spaces(step):
        raise ConfigError(
            "the tune step has nothing to tune: no value of model_architecture or learn_params is null or a search "
            "space; make one so, or use a train step"
        )


def train_step(step: TuneStep, values: Mapping[str, Any]) -> TrainStep:
    """The ``train`` step of one trial: the ``tune`` step with a value in place of each space. Raises ConfigError.

    Args:
        step: the ``tune`` step.
        values: dotted path -> value.
    """
    # Keys that the file leaves out take the defaults of a train step: some defaults of a tune step are null.
    raw = {**step.model_dump(exclude={"type", "tune"}, exclude_unset=True), "type": "train"}
    for path, value in values.items():
        *parents, last = path.split(".")
        block = raw
        for parent in parents:
            block = block[parent]
        block[last] = copy.deepcopy(value)
    faults = train_faults(raw)
    if faults:
        raise ConfigError("no model has these values together", faults)
    try:
        return TrainStep.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"no model has these values: {error.errors()[0]['msg']}") from error


def is_possible(step: TuneStep, values: Mapping[str, Any]) -> bool:
    """Whether a model can have these values together; arguments as ``train_step``."""
    try:
        train_step(step, values)
    except ConfigError:
        return False
    return True


def draw(step: TuneStep, seed: int, number: int) -> Values:
    """Draw the values of a trial of the random search. They depend on the seed and the trial's number alone.

    Impossible combinations are drawn again.

    Args:
        step: the ``tune`` step.
        seed: seed of the search.
        number: number of the trial.
    """
    random = np.random.default_rng([seed, number])
    spaces = search_spaces(step)
    for _ in range(MAX_DRAWS):
        values = {path: _drawn(space, random) for path, space in spaces.items()}
        if is_possible(step, values):
            return values
    raise ConfigError(f"{MAX_DRAWS} draws gave no combination that a {step.model} can have; narrow the search spaces")


def _drawn(space: SearchSpace, random: np.random.Generator) -> Any:
    if space.choice is not None:
        return space.choice[int(random.integers(len(space.choice)))]
    low, high = space.values
    if space.randint is not None:
        return int(random.integers(low, high, endpoint=True))
    if space.loguniform is not None:
        return math.exp(random.uniform(math.log(low), math.log(high)))
    return float(random.uniform(low, high))
