"""Targets of a dataset: columns of labels, and columns of numbers, such as arousal and valence, on one range."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from emotions.bundle.targets import Range, check_range
from emotions.pipeline.schema import Block, Text

Bounds = Annotated[Range, BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)]
"""A range, which JSON has as a list."""


class LabelsTarget(Block):
    """A column of labels."""

    labels: Annotated[list[Text], Field(min_length=2)] = Field(
        description="The labels to learn; a clip with another one is a fault of the data."
    )


class DimensionsTarget(Block):
    """Columns of numbers that are learnt together, each a dimension of the target."""

    dimensions: Annotated[list[Text], Field(min_length=1, max_length=100)] = Field(
        description="Columns of numbers, such as arousal, valence and dominance; an empty cell is a missing value."
    )
    range: Bounds = Field(default=(0.0, 1.0), description="Lowest and highest value of the answers.")
    scale: Bounds | None = Field(
        default=None,
        description="Lowest and highest value of the columns, such as [1, 7], which the range stands for; by default "
        "the range itself.",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if len(set(self.dimensions)) != len(self.dimensions):
            raise ValueError("names a dimension twice")
        check_range("range", self.range)
        check_range("scale", self.columns_scale)
        return self

    @property
    def columns_scale(self) -> Range:
        """Lowest and highest value of the columns."""
        return self.range if self.scale is None else self.scale

    def mapped(self, number: float) -> float:
        """A number of a column, on the range."""
        (low, high), (least, most) = self.range, self.columns_scale
        return low + (number - least) * (high - low) / (most - least)


def _kind(value: Any) -> str:
    named = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return "<dimensions>" if {"dimensions", "range", "scale"} & {*named} else "<labels>"


def _form(value: Any) -> str:
    return "<objects>" if isinstance(value, dict) else "<columns>"


Target = Annotated[
    Annotated[LabelsTarget, Tag("<labels>")] | Annotated[DimensionsTarget, Tag("<dimensions>")], Discriminator(_kind)
]
Targets = Annotated[
    Annotated[list[Text], Field(min_length=1), Tag("<columns>")]
    | Annotated[dict[Text, Target], Field(min_length=1), Tag("<objects>")],
    Discriminator(_form),
]
"""Columns of labels, or objects by the name of each target."""
