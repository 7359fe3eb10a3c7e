"""Samplers: which values the next trial gets."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

from emotions.errors import ConfigError
from training.config.tune import SearchSpace, TuneStep
from training.tuning.records import SearchRecord, TrialRecord
from training.tuning.spaces import MAX_DRAWS, Values, draw, is_possible, search_spaces


class RandomSampler:
    """Random search: a trial's values depend on the seed and its number alone."""

    def __init__(self, step: TuneStep, seed: int) -> None:
        self._step, self._seed = step, seed

    def suggest(self, number: int) -> Values:
        """Values of trial ``number``."""
        return draw(self._step, self._seed, number)

    def tell(self, trial: TrialRecord) -> None:
        """Do nothing: trials are independent."""


class OptunaSampler:
    """Optuna's tree-structured Parzen estimator (Bergstra et al., 2011), which learns from the trials that have ended.

    The study lives in memory; a resumed search tells it the recorded trials.

    Args:
        step: the ``tune`` step.
        search: metric and seed.
        ended: trials to learn from at the start.
    """

    def __init__(self, step: TuneStep, search: SearchRecord, ended: Sequence[TrialRecord]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._step, self._search = step, search
        self._spaces = search_spaces(step)
        # A resumed search needs another seed, else it would repeat the first draws.
        sampler = optuna.samplers.TPESampler(seed=search.seed + len(ended), constant_liar=True)
        direction: Literal["maximize", "minimize"] = "maximize" if search.mode == "max" else "minimize"
        self._study = optuna.create_study(direction=direction, sampler=sampler)
        self._open: dict[int, Any] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
            self._kinds = {path: distribution_of(space) for path, space in self._spaces.items()}
        for trial in ended:
            self.tell(trial)

    def suggest(self, number: int) -> Values:
        """Values of trial ``number``; impossible combinations are reported to the study as failed."""
        from optuna.trial import TrialState

        for _ in range(MAX_DRAWS):
            asked = self._study.ask(self._kinds)
            drawn = asked.params
            values = {path: s.choice[drawn[path]] if s.choice else drawn[path] for path, s in self._spaces.items()}
            if is_possible(self._step, values):
                self._open[number] = asked
                return values
            self._study.tell(asked, state=TrialState.FAIL)
        raise ConfigError(
            f"{MAX_DRAWS} draws gave no combination that a {self._step.model} can have; narrow the search spaces"
        )

    def tell(self, trial: TrialRecord) -> None:
        """Learn from a trial that has ended; failed ones are left out."""
        from optuna.trial import TrialState, create_trial

        best, asked = trial.best(self._search), self._open.pop(trial.number, None)
        if asked is not None:
            failed = best is None or trial.state == "failed"
            self._study.tell(asked, None if failed else best[1], TrialState.FAIL if failed else None)  # type: ignore[index]
        elif best is not None and trial.state != "failed":
            known = {path: parameter_of(space, trial.values[path]) for path, space in self._spaces.items()}
            self._study.add_trial(create_trial(params=known, distributions=self._kinds, value=best[1]))


Sampler = RandomSampler | OptunaSampler


def make_sampler(step: TuneStep, search: SearchRecord, ended: Sequence[TrialRecord]) -> Sampler:
    """The sampler that a search names; arguments as ``OptunaSampler``."""
    return OptunaSampler(step, search, ended) if search.sampler == "optuna" else RandomSampler(step, search.seed)


def distribution_of(space: SearchSpace) -> Any:
    """Optuna's distribution of a space."""
    from optuna import distributions

    if space.choice is not None:
        # By index: Optuna compares choices, and takes plain values alone.
        return distributions.CategoricalDistribution(tuple(range(len(space.choice))))
    low, high = space.values
    if space.randint is not None:
        return distributions.IntDistribution(low, high)
    return distributions.FloatDistribution(low, high, log=space.loguniform is not None)


def parameter_of(space: SearchSpace, value: Any) -> Any:
    """A ``value`` of a search ``space`` as a parameter of Optuna's distribution."""
    return value if space.choice is None else space.choice.index(value)
