"""Targets of a dataset: labels, perhaps of several raters, and numbers such as arousal and valence."""

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


class RatersTarget(Block):
    """A column of labels in a table with one row a rater; the raters' labels are learnt as a distribution."""

    raters: Text = Field(description="Column that names the rater of a row; the rows of a clip are its ratings.")
    labels: Annotated[list[Text], Field(min_length=2)] | None = Field(
        default=None, description="The labels to learn; another one is a fault of the data."
    )


class SharesTarget(Block):
    """Columns of shares, one a label: which share of the raters gave it. They are learnt as a distribution."""

    shares: Annotated[list[Text], Field(min_length=2, max_length=1000)] = Field(
        description="The columns; the label of emotion.angry is angry where emotion is the target, else the name."
    )

    @model_validator(mode="after")
    def _are_different(self) -> Self:
        if len(set(self.shares)) != len(self.shares):
            raise ValueError("names a column of shares twice")
        return self

    def label_of(self, target: str, column: str) -> str:
        """The label that a column has the shares of.

        Args:
            target: name of the target.
            column: one of ``shares``.
        """
        return column.removeprefix(f"{target}.") or column


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


def _keys(value: Any) -> set[str]:
    return {*value} if isinstance(value, dict) else {*getattr(value, "__dict__", {})}


def _kind(value: Any) -> str:
    named = _keys(value)
    if {"dimensions", "range", "scale"} & named:
        return "<dimensions>"
    return "<raters>" if "raters" in named else "<shares>" if "shares" in named else "<labels>"


def _of_one_kind(value: Any) -> Any:
    """Refuse a target that is of labels and of numbers, or of two forms of labels."""
    named = _keys(value)
    if "dimensions" in named and {"labels", "raters", "shares"} & named:
        raise ValueError("is a target of labels and of dimensions at once: make two targets of it")
    if "shares" in named and {"labels", "raters"} & named:
        raise ValueError("has shares beside labels or raters: the columns of shares name the labels by themselves")
    return value


def _form(value: Any) -> str:
    return "<objects>" if isinstance(value, dict) else "<columns>"


Target = Annotated[
    Annotated[
        Annotated[LabelsTarget, Tag("<labels>")]
        | Annotated[RatersTarget, Tag("<raters>")]
        | Annotated[SharesTarget, Tag("<shares>")]
        | Annotated[DimensionsTarget, Tag("<dimensions>")],
        Discriminator(_kind),
    ],
    BeforeValidator(_of_one_kind),
]
Targets = Annotated[
    Annotated[list[Text], Field(min_length=1), Tag("<columns>")]
    | Annotated[dict[Text, Target], Field(min_length=1), Tag("<objects>")],
    Discriminator(_form),
]
"""Columns of labels, or objects by the name of each target."""
