"""The ``dataset`` block of a pipeline file: the recordings, and the sources of their properties."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from emotions.errors import ConfigError
from emotions.pipeline.schema import Block, Text
from training.config.targets import DimensionsTarget, LabelsTarget, RatersTarget, SharesTarget, Targets


class Column(Block):
    """A property of clips that is a column of the dataset."""

    column: Text


class Pattern(Block):
    """A property of clips that is a part of their relative path: the first group of a regex."""

    pattern: Text

    @field_validator("pattern")
    @classmethod
    def _has_group(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"must be a regular expression ({error})") from error
        if not groups:
            raise ValueError("must have a group: put the part that counts in round brackets")
        return pattern


def _origin(value: Any) -> str:
    return "<column>" if isinstance(value, Column) or (isinstance(value, dict) and "column" in value) else "<pattern>"


Origin = Annotated[Annotated[Column, Tag("<column>")] | Annotated[Pattern, Tag("<pattern>")], Discriminator(_origin)]


Format = Literal["auto", "annotations", "folders", "table", "audformat", "audiofolder", "kaldi"]
"""Layouts of datasets."""

Leak = Literal["speaker", "recording", "audio"]
"""What stops a run when it is on both sides of a split."""


class SplitConfig(Block):
    """How clips are split: whole groups go to training, validation or test."""

    by: Text | None = Field(
        default=None, description="speaker, recording or a column; by default speaker where known, else recording."
    )
    val: float = Field(default=0.15, gt=0, lt=1, description="Share of the clips for validation.")
    val_folds: Literal[0] | Annotated[int, Field(ge=2, le=20)] = Field(
        default=0,
        description="Validate by so many folds of the training groups instead of a part of their own: a model is "
        "trained without each, and its answers to them calibrate the model that is trained on all. 0: a part.",
    )
    test: float = Field(default=0.15, ge=0, lt=1, description="Share of the clips for the test.")
    allow_leaks: list[Leak] = Field(
        default=[], description="What may be on both sides of a split; every report and bundle then says so."
    )

    @property
    def val_share(self) -> float:
        """Share of the clips in a validation part; 0 where folds validate."""
        return 0.0 if self.val_folds else self.val

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        if self.val_share + self.test >= 1:
            raise ValueError(f"val + test is {self.val + self.test:g}, must be less than 1")
        return self


class DatasetConfig(Block):
    """The recordings, and the sources of their properties."""

    path: Text | Annotated[list[Text], Field(min_length=1)] | None = Field(
        default=None, description="Folder or file; by default data/ or data/dataset/ below the root."
    )
    unlabelled: Text | Annotated[list[Text], Field(min_length=1)] | None = Field(
        default=None, description="Folder or table of recordings without labels, that only a teacher answers."
    )
    format: Format = "auto"
    target: Text = Field(default="emotion", description="Name of the target where folders are its classes.")
    targets: Targets | None = Field(
        default=None,
        description="Columns of labels to learn, by default all that look like targets; or an object for each target: "
        '{"labels": [...]}; {"raters": "rater"}, a row a rater; {"shares": ["emotion.angry", "emotion.calm"]}; or '
        '{"dimensions": ["arousal", "valence"], "range": [0, 1], "scale": [1, 7]}.',
    )
    tables: Annotated[list[Text], Field(min_length=1)] | None = Field(
        default=None, description="Tables of an audformat database that hold the clips; by default those of its splits."
    )
    speaker: Origin | None = Field(default=None, description="Where the speaker of a clip stands.")
    recording: Origin | None = Field(default=None, description="Where the recording that a clip was cut from stands.")
    sentence: Origin | None = Field(
        default=None, description="Where the sentence that is spoken stands; by default in a column sentence or text."
    )
    split: SplitConfig = SplitConfig()
    strict: bool = Field(
        default=False, description="Leave out recordings of which a part is missing, rather than use what there is."
    )
    segments: Literal["windows", "speech"] = Field(
        default="windows",
        description="What is learnt of a recording: all of it, or its segments of speech, each as a clip of its own.",
    )
    license: Text | None = Field(default=None, description="Licence of the recordings, for the bundle.")

    @model_validator(mode="after")
    def _a_column_is_labels_or_numbers(self) -> Self:
        numbers = self.number_columns
        both = [column for column in numbers if column in (self.columns or ()) or numbers.count(column) > 1]
        if both:
            raise ValueError(f"targets: the column {both[0]!r} would be learnt twice: as labels, or by two targets")
        if len({about.raters for about in self.rated.values()}) > 1:
            raise ValueError("targets: name one column of raters for all targets: a row is of one rater")
        return self

    @property
    def columns(self) -> list[str] | None:
        """Columns of labels to learn; None where those that look like targets are."""
        return None if self.named is None else [name for name in self.named if name not in self.shared]

    @property
    def named(self) -> list[str] | None:
        """The targets of labels, those of shares too; None where those that look like targets are."""
        return None if self.targets is None else [name for name in self.targets if name not in self.dimensional]

    @property
    def number_columns(self) -> list[str]:
        """Columns of numbers to learn: those of dimensions and of shares."""
        shares = [column for about in self.shared.values() for column in about.shares]
        return [*(column for about in self.dimensional.values() for column in about.dimensions), *shares]

    @property
    def dimensional(self) -> dict[str, DimensionsTarget]:
        """The targets of dimensions."""
        every = self.targets.items() if isinstance(self.targets, dict) else ()
        return {name: about for name, about in every if isinstance(about, DimensionsTarget)}

    @property
    def rated(self) -> dict[str, RatersTarget]:
        """The targets that several raters labelled in rows of their own."""
        every = self.targets.items() if isinstance(self.targets, dict) else ()
        return {name: about for name, about in every if isinstance(about, RatersTarget)}

    @property
    def shared(self) -> dict[str, SharesTarget]:
        """The targets whose labels have columns of shares."""
        every = self.targets.items() if isinstance(self.targets, dict) else ()
        return {name: about for name, about in every if isinstance(about, SharesTarget)}

    @property
    def stated_labels(self) -> dict[str, list[str]]:
        """The labels that targets of labels may have, where they are stated."""
        every = self.targets.items() if isinstance(self.targets, dict) else ()
        stated = ((name, about) for name, about in every if isinstance(about, LabelsTarget | RatersTarget))
        return {name: about.labels for name, about in stated if about.labels}


def as_origin(text: str | None, option: str) -> Column | Pattern | None:
    """A property as a command line names it: a regular expression with a group, else a column.

    Args:
        text: what was given; None where nothing was.
        option: its name, for messages.

    Raises:
        ConfigError: it is meant as a regular expression and is none.
    """
    if text is None:
        return None
    try:
        return Pattern(pattern=text) if "(" in text else Column(column=text)
    except ValidationError as error:
        raise ConfigError(f"{option} {text!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error


def as_dataset(raw: dict[str, Any]) -> DatasetConfig:
    """A ``dataset`` block of raw values; ConfigError names the first one that is not valid."""
    try:
        return DatasetConfig.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"dataset.{where}: {first['msg']}, found {first['input']!r}") from error
