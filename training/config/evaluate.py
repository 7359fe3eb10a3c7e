"""The ``evaluate`` step of a pipeline file (no torch)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from emotions.errors import Fault
from emotions.pipeline.schema import MAX_SEED, Block, Texts, step_schema
from emotions.pipeline.validation import faults_of
from training.config.dataset import DatasetConfig
from training.config.teacher import Place
from training.config.train import FixedStep, TrainStep, train_faults

Protocol = Literal["holdout", "group_kfold", "loso", "cross_corpus"]
Suite = Literal["accuracy", "robustness", "fairness"]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
MAX_CORPORA = 20
"""Corpora of one evaluation: each is trained on, and all others are tested."""
_WITHOUT_CORPORA = ("choose", "compare", "robustness", "max_risk")
"""Keys that the protocol cross_corpus has no use for."""


class Candidate(Block):
    """A model that a fold may choose: the step's, with differences."""

    model_architecture: dict[str, Any] = Field(default={}, description="Keys of model_architecture that differ.")
    learn_params: dict[str, Any] = Field(default={}, description="Keys of learn_params that differ.")

    def applied(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """A step's raw object with the differences applied."""
        return _merged(raw, self.model_dump(exclude_unset=True))


class Choice(Block):
    """How each fold chooses its model, by its training groups alone."""

    candidates: list[Candidate] = Field(description="What to choose from; of equals the first is taken.")
    folds: Annotated[int, Field(ge=2)] = Field(
        default=3, description="Inner folds, of the training groups of a fold, that candidates are compared by."
    )

    @field_validator("candidates")
    @classmethod
    def _leave_a_choice(cls, candidates: list[Candidate]) -> list[Candidate]:
        if len(candidates) < 2:
            raise ValueError(f"needs at least 2 candidates to choose from, there are {len(candidates)}")
        return candidates


class EvaluateStep(FixedStep):
    """Train a model on parts of the data and measure it on the rest, fold by fold."""

    type: Literal["evaluate"] = "evaluate"
    protocol: Protocol = Field(
        default="group_kfold",
        description="holdout: one split; group_kfold: folds of whole groups; loso: leave one speaker out; "
        "cross_corpus: train on each of the corpora and test on each other.",
    )
    corpora: Annotated[list[DatasetConfig], Field(min_length=2, max_length=MAX_CORPORA)] | None = Field(
        default=None,
        description="Datasets of the protocol cross_corpus: each a path, or a dataset block; what it does not say is "
        "that of the step's dataset.",
    )
    folds: Annotated[int, Field(ge=2)] = Field(default=5, description="Folds of group_kfold.")
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = Field(
        default=None, description="Seeds that every fold is trained with; figures are means over them. By default one."
    )
    jobs: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        default="auto", description="Folds that are trained at once; auto: one a GPU, or one a CPU core."
    )
    groups: list[Annotated[str, Field(min_length=1)]] = Field(
        default=[], description="Columns to measure by, such as sex or device; by default all with few values."
    )
    max_risk: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Report how often an answer is unknown where the share of errors for new speakers is held at this; "
        "null: never.",
    )
    names: bool = Field(
        default=False,
        description="Name the recordings that are most wrong and most sure in the report, and let it play them.",
    )
    choose: Choice | None = Field(
        default=None,
        description="Models to choose from inside every fold, by the mean UAR of the first target over inner folds of "
        "its training groups; null: the step's own model.",
    )
    compare: Candidate | None = Field(
        default=None,
        description="Another model, as differences from the step's, that is measured on the same folds with the same "
        "seeds: the report has the difference in UAR with its interval; null: none.",
    )
    robustness: bool = Field(
        default=False,
        description="Test each fold's model on altered recordings of its test clips too, with the first seed: noise, "
        "codecs, bands, levels, as the suite robustness does with a bundle.",
    )
    output: Texts | None = Field(
        default=None, description="Folder of the report; by default below runs/, one for each evaluation."
    )

    @field_validator("seeds")
    @classmethod
    def _are_different(cls, seeds: list[int] | None) -> list[int] | None:
        if seeds and len(set(seeds)) < len(seeds):
            raise ValueError("names a seed twice: it would count twice")
        return seeds

    @field_validator("corpora", mode="before", json_schema_input_type=list[DatasetConfig | Place] | None)
    @classmethod
    def _paths_are_datasets(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [{"path": each} if isinstance(each, str | list) else each for each in value]

    def datasets(self) -> list[DatasetConfig]:
        """The corpora, each with what the step's own dataset says beside it."""
        common = self.dataset.model_dump(exclude_unset=True)
        own = (each.model_dump(exclude_unset=True) for each in self.corpora or ())
        return [DatasetConfig.model_validate({**common, **each}) for each in own]

    def training(self) -> TrainStep:
        """The step that trains a fold without candidates."""
        return TrainStep.model_validate(self._raw())

    def candidates(self) -> tuple[TrainStep, ...]:
        """The steps that a fold chooses from, or the only one; ``evaluate_faults`` reports those that are not valid."""
        if self.choose is None:
            return (self.training(),)
        raw = self._raw()
        return tuple(TrainStep.model_validate(each.applied(raw)) for each in self.choose.candidates)

    def compared(self) -> TrainStep | None:
        """The step that trains the model to compare with."""
        return None if self.compare is None else TrainStep.model_validate(self.compare.applied(self._raw()))

    def _raw(self) -> dict[str, Any]:
        own = {*EvaluateStep.model_fields} - {*TrainStep.model_fields} | {"type"}
        return self.model_dump(exclude=own, exclude_unset=True)


def decisive(step: TrainStep) -> dict[str, Any]:
    """The settings that determine a fold's model, apart from the data and the seed."""
    return step.model_dump(mode="json", include={"model", "model_architecture", "learn_params"})


def evaluate_faults(raw: Mapping[str, Any]) -> list[Fault]:
    """Faults of an ``evaluate`` step that concern several fields, of each candidate too."""
    return train_faults(raw) or [*corpora_faults(raw)] or [*_candidate_faults(raw)]


def corpora_faults(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of an ``evaluate`` step's raw object that concern its corpora."""
    protocol, corpora = raw.get("protocol", "group_kfold"), raw.get("corpora")
    if protocol != "cross_corpus":
        if corpora is not None:
            yield Fault("corpora", str(corpora)[:80], 'needs "protocol": "cross_corpus"; name one dataset in dataset')
        return
    if corpora is None:
        yield Fault("corpora", "missing", "must name the datasets, at least two: each a path, or a dataset block")
    for key in _WITHOUT_CORPORA:
        if raw.get(key):
            yield Fault(key, str(raw[key])[:80], "must be left out: the protocol cross_corpus does without it")


def _candidate_faults(raw: Mapping[str, Any]) -> Iterator[Fault]:
    try:
        step = EvaluateStep.model_validate(raw)
    except ValidationError:  # reported by its model; candidates are checked once the rest is valid
        return
    own = {key: raw[key] for key in ("model", "model_architecture", "learn_params") if key in raw}
    yield from _compared_faults(step, own)
    seen: dict[str, int] = {}
    for index, candidate in enumerate(step.choose.candidates if step.choose else ()):
        where, changed = f"choose.candidates[{index}]", candidate.applied(own)
        try:
            resolved = TrainStep.model_validate(changed)
        except ValidationError as error:
            yield from faults_of(error, changed, where, step_schema(TrainStep))
            continue
        yield from (Fault(f"{where}.{fault.where}", fault.found, fault.remedy) for fault in train_faults(changed))
        first = seen.setdefault(json.dumps(decisive(resolved), sort_keys=True), index)
        if first != index:
            yield Fault(where, "the same model twice", f"must differ from candidates[{first}]")


def _compared_faults(step: EvaluateStep, own: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of the model to compare with."""
    if step.compare is None:
        return
    changed = step.compare.applied(own)
    try:
        resolved = TrainStep.model_validate(changed)
    except ValidationError as error:
        yield from faults_of(error, changed, "compare", step_schema(TrainStep))
        return
    yield from (Fault(f"compare.{fault.where}", fault.found, fault.remedy) for fault in train_faults(changed))
    if decisive(resolved) == decisive(step.training()):
        yield Fault("compare", "the same model twice", "must differ from the step")


def _merged(known: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A raw object with changes applied; nested objects are merged key by key."""
    nested = {
        key: _merged(known[key], value)
        for key, value in changes.items()
        if isinstance(value, Mapping) and isinstance(known.get(key), Mapping)
    }
    return {**known, **changes, **nested}
