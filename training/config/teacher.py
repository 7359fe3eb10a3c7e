"""The ``teacher`` block of a pipeline file (no torch)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from emotions.errors import Fault
from emotions.pipeline.schema import Block, Text

Place = Text | Annotated[list[Text], Field(min_length=1)]
"""A path, or the names of its folders."""


class TeacherConfig(Block):
    """A bundle whose probabilities a model learns from, beside the labels."""

    bundle: Place = Field(description="The bundle's folder.")
    weight: float = Field(
        default=0.5, gt=0, le=1, description="Share of the teacher in the loss; the labels have the rest."
    )
    temperature: float = Field(
        default=2.0, ge=0.5, le=20, description="Softens the probabilities of both: above 1 rare answers count more."
    )


def as_teacher(value: Any) -> Any:
    """A path alone as the block that names it; anything else as it is."""
    return {"bundle": value} if isinstance(value, str | list) else value


def path_of(place: str | list[str], root: Path) -> Path:
    """The path that a place names.

    Args:
        place: a path, or the names of its folders.
        root: folder that a relative one starts from.
    """
    return root.joinpath(*([place] if isinstance(place, str) else place))


def unlabelled_faults(raw: Mapping[str, Any]) -> list[Fault]:
    """Faults of a step's raw object with recordings that nothing would learn from."""
    dataset = raw.get("dataset")
    named = dataset.get("unlabelled") if isinstance(dataset, dict) else None
    if named is None or raw.get("teacher") is not None:
        return []
    return [Fault("dataset.unlabelled", str(named)[:80], "needs a teacher: without one nothing is learnt from them")]
