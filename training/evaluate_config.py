"""The ``evaluate`` step of a pipeline file (no torch)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from emotions.schema import MAX_SEED
from training.config import FixedStep, Parts, TrainStep

Protocol = Literal["holdout", "group_kfold", "loso"]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class EvaluateStep(FixedStep):
    """Train a model on parts of the data and measure it on the rest, fold by fold."""

    type: Literal["evaluate"] = "evaluate"
    protocol: Protocol = Field(
        default="group_kfold",
        description="holdout: one split; group_kfold: folds of whole groups; loso: leave one speaker out.",
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
        default=None, description="Answer unknown where it takes that to keep the share of errors at this; null: never."
    )
    output: Parts | None = Field(
        default=None, description="Folder of the report; by default below runs/, one for each evaluation."
    )

    @field_validator("seeds")
    @classmethod
    def _are_different(cls, seeds: list[int] | None) -> list[int] | None:
        if seeds and len(set(seeds)) < len(seeds):
            raise ValueError("names a seed twice: it would count twice")
        return seeds

    def training(self) -> TrainStep:
        """The step that trains one fold."""
        own = {*EvaluateStep.model_fields} - {*TrainStep.model_fields} | {"type"}
        return TrainStep.model_validate(self.model_dump(exclude=own, exclude_unset=True))
