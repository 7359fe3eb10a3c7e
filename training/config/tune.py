"""The ``tune`` and ``print_tune_res`` steps of a pipeline file.

A ``tune`` step is a ``train`` step whose architecture and learning parameters may be searched: ``null`` takes a key's
default space, and ``{"choice": [...]}`` and its like narrow it.
"""

from __future__ import annotations

import functools
import itertools
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, cast, get_args, get_origin

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    SerializeAsAny,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from emotions.errors import Fault
from emotions.pipeline.schema import Block, StepConfig, Texts
from training.config.architectures import ARCHITECTURES, SPACE_KINDS, Architectures
from training.config.learning import LearnParams
from training.config.train import ModelStep, mask_faults, patch_fault, raw_value, val_folds_of

METRIC_ALIASES = {"val/em_acc": "val/emotion_wa", "val/st_acc": "val/state_wa"}
"""Names of metrics in older pipeline files."""

Range = Annotated[list[float], Field(min_length=2, max_length=2)]


class SearchSpace(Block):
    """A search space: a list of choices, or a range ``[low, high]``."""

    choice: Annotated[list[Any], Field(min_length=1)] | None = None
    loguniform: Range | None = None
    uniform: Range | None = None
    randint: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None

    @model_validator(mode="after")
    def _draws(self) -> Self:
        if sum(values is not None for _, values in self) != 1 or len(self.model_fields_set) != 1:
            raise ValueError(f"a search space has one key, of {', '.join(SearchSpace.model_fields)}")
        if self.choice is None and self.values[0] >= self.values[1]:
            raise ValueError(f"the range {self.values} is empty: its low end must lie below its high end")
        if self.loguniform is not None and self.loguniform[0] <= 0:
            raise ValueError(f"the range {self.loguniform} must lie above 0, for loguniform")
        return self

    @property
    def values(self) -> list[Any]:
        """The choices, or the two ends of the range."""
        return next(values for _, values in self if values is not None)


def _choice(*values: Any) -> SearchSpace:
    return SearchSpace(choice=list(values))


DEFAULT_SPACES: dict[str, SearchSpace] = {
    "conv_h_count": _choice(0, 1, 2, 4),
    "conv_w_count": _choice(0, 1, 2, 4),
    "layer_1_size": _choice(32, 64, 128, 256, 512),
    "layer_2_size": _choice(32, 64, 128, 256, 512),
    "patch_transformer_size": _choice(16, 32, 64),
    "transformer_depth": _choice(2, 3, 4),
    "transformer_attantion_head_count": _choice(*range(1, 10)),
    "base_lr": SearchSpace(loguniform=[1e-4, 1e-1]),
    "conv_lr": SearchSpace(loguniform=[1e-4, 1e-1]),
    "batch_size": _choice(8, 16, 32),
    "members": _choice(1, 4, 8, 16),
    "input_dropout": _choice(0.0, 0.3, 0.5, 0.7, 0.9),
}
"""Search space of ``null``, by key."""


@dataclass(frozen=True)
class Searchable:
    """Annotation of a field that takes its own values, a search space, or null where it has a default space.

    Attributes:
        key: name of the field.
        nullable: without a default space, null is a value of the field.
    """

    key: str
    nullable: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate null and search spaces first, everything else by the field's own type."""
        own = handler(source)
        choices: list[Any] = [own, handler.generate_schema(SearchSpace)]
        if self.key in DEFAULT_SPACES:
            choices.append(core_schema.none_schema())
        return core_schema.no_info_wrap_validator_function(
            self._validate,
            own,
            json_schema_input_schema=core_schema.union_schema(choices),
            serialization=core_schema.plain_serializer_function_ser_schema(_as_written),
        )

    def _validate(self, value: Any, own: ValidatorFunctionWrapHandler) -> Any:
        if value is None:
            return own(None) if self.nullable and self.key not in DEFAULT_SPACES else self._default()
        if not isinstance(value, dict):
            return own(value)
        space = SearchSpace.model_validate(value)
        for each in space.values:
            own(each)
        return space

    def _default(self) -> SearchSpace:
        if self.key not in DEFAULT_SPACES:
            kinds = ", ".join(sorted(SPACE_KINDS))
            message = "null has no default search space here; give a value or one of {kinds}"
            raise PydanticCustomError("no_default_space", message, {"kinds": kinds})
        return DEFAULT_SPACES[self.key]


def _as_written(value: Any) -> Any:
    return value.model_dump(exclude_none=True) if isinstance(value, SearchSpace) else value


def _searchable(block: type[Block]) -> type[Block]:
    """The model of a block whose values may be search spaces, in nested blocks too."""
    fields: dict[str, Any] = {}
    for key, field in block.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, Block):
            inner = _searchable(kind)
            fields[key] = (inner, inner())
        elif get_origin(kind) is dict:  # an object: it would be taken for a search space
            fields[key] = (kind, Field(default=field.default, description=field.description))
        else:
            own: Any = Annotated[(kind, *field.metadata, Searchable(key, type(None) in get_args(kind)))]
            fields[key] = (own, Field(default=field.default, description=field.description))
    return create_model(f"Searchable{block.__name__}", __base__=Block, __doc__=block.__doc__, **fields)


SEARCHABLE_ARCHITECTURES = {model: _searchable(block) for model, block in ARCHITECTURES.items()}
SearchableArchitecture: Any = functools.reduce(operator.or_, SEARCHABLE_ARCHITECTURES.values())
SearchableLearnParams = _searchable(LearnParams)


class TuneParams(Block):
    """How to search."""

    enable_tune_features: bool = Field(
        default=False,
        description="Draw values by Optuna, which learns from the trials that have ended, stop bad trials early (ASHA) "
        "and share GPUs; false: draw at random, every trial to its end.",
    )
    max_tune_epochs: int = Field(default=20, ge=1, description="Most epochs of one trial.")
    num_samples: int = Field(default=20, ge=1, description="Trials.")
    target_metric_name: str = Field(
        default="val/emotion_uar", description="What trials are compared by: val/loss or val/<target>_uar|wa|macro_f1."
    )
    checkpoints_save_threshold: float | None = Field(
        default=None,
        description="Keep the checkpoints of trials that reach this too; by default those of the best trial alone.",
    )
    cpus_per_trial: int = Field(default=1, ge=1, le=256, description="CPU cores that each trial reserves.")
    gpus_per_trial: Annotated[float, Field(ge=0, le=8)] | None = Field(
        default=None,
        description="GPUs that each trial reserves; by default, where the accelerator is a GPU, half of one with "
        "enable_tune_features, else one.",
    )
    ray_address: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description='The Ray cluster: "auto", "ray://host:10001" or "host:6379"; null: one that is started here.',
    )

    storage_path: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*://.")] | None = Field(
        default=None,
        description="URL that every node of the cluster reaches, such as s3://bucket/searches: trials travel through "
        "it, and the dataset goes to the nodes with the run; null: the nodes see this machine's folders.",
    )

    @field_validator("target_metric_name")
    @classmethod
    def _without_alias(cls, name: str) -> str:
        name = METRIC_ALIASES.get(name, name)
        if not re.fullmatch(r"val/(loss|.+_(uar|wa|macro_f1))", name):
            raise ValueError("must be val/loss, or val/<target>_uar, val/<target>_wa or val/<target>_macro_f1")
        return name


class TuneStep(ModelStep):
    """Search for the best architecture and learning parameters of a model."""

    type: Literal["tune"] = "tune"
    model_architecture: SerializeAsAny[Block] = Field(default_factory=lambda: cast(Any, {}), validate_default=True)
    learn_params: SerializeAsAny[Block] = Field(default_factory=lambda: cast(Any, {}), validate_default=True)
    tune: TuneParams = TuneParams()
    architectures: ClassVar[Architectures] = SEARCHABLE_ARCHITECTURES

    @field_validator("model_architecture", mode="wrap", json_schema_input_type=SearchableArchitecture)
    @classmethod
    def _of_the_model(cls, value: Any, _: Any, info: ValidationInfo) -> Any:
        return cls._architecture(value, info)

    @field_validator("learn_params", mode="wrap", json_schema_input_type=SearchableLearnParams)
    @classmethod
    def _searched(cls, value: Any, _: Any) -> Any:
        return SearchableLearnParams.model_validate(value)


class PrintTuneResStep(StepConfig):
    """Print the results of a search."""

    type: Literal["print_tune_res"] = "print_tune_res"
    res_path: Texts | None = Field(
        default=None,
        description="Folder of one tuning's results, as a list of folder names; by default of the tune step before.",
    )
    format: Literal["table", "json", "csv"] = Field(default="table", description="How they are printed.")


def tune_faults(raw: Mapping[str, Any]) -> list[Fault]:
    """Faults of a ``tune`` step that concern several fields, such as spaces without a possible combination."""
    folds = val_folds_of(raw)
    why = "must be 0: a search compares its trials, at each epoch, on a validation part"
    return [*([Fault("dataset.split.val_folds", str(folds), why)] if folds else []), *_model_faults(raw)]


def _model_faults(raw: Mapping[str, Any]) -> list[Fault]:
    if raw.get("model") == "FunctionalsClassifier":
        return mask_faults(raw)
    if raw.get("model") != "TransformerClassifier":
        return []
    patches = _candidates(raw_value(raw, "model_architecture", "patch_transformer_size", 16), "patch_transformer_size")
    sizes = _candidates(raw_value(raw, "learn_params", "spectrogram_size", 128), "spectrogram_size")
    faults = [patch_fault(patch, size) for patch, size in itertools.product(patches, sizes)]
    if not faults or None in faults:
        return []
    found = ", ".join(map(str, patches))
    return [Fault("model_architecture.patch_transformer_size", found, f"none of these is possible: {faults[0]}")]


def _candidates(value: Any, key: str) -> list[int]:
    """The positive integers of a raw value or its choices; none for a range or a faulty value."""
    if value is None and key in DEFAULT_SPACES:
        value = DEFAULT_SPACES[key].choice
    elif isinstance(value, dict):
        value = value.get("choice")
    values = value if isinstance(value, list) else [value]
    return [each for each in values if type(each) is int and each > 0]
