"""The ``train`` step of a pipeline file, and the model that it resolves to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field, GetJsonSchemaHandler, ValidationInfo, field_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from emotions.errors import Fault
from emotions.pipeline.schema import Block, StepConfig, Text, Texts
from training.config.architectures import (
    ARCHITECTURES,
    ENCODER_MODELS,
    SPECTROGRAM_MODELS,
    Architecture,
    FunctionalsArchitecture,
    ModelName,
    SpectrogramCnnArchitecture,
    TransformerArchitecture,
    Wav2Vec2CnnArchitecture,
    Wav2Vec2FnArchitecture,
)
from training.config.dataset import Column, DatasetConfig, Pattern, SplitConfig
from training.config.learning import LearningRates, LearnParams, RayConfig

__all__ = [
    "ARCHITECTURES",
    "SPECTROGRAM_MODELS",
    "Architecture",
    "Column",
    "DatasetConfig",
    "FixedStep",
    "FunctionalsArchitecture",
    "LearnParams",
    "LearningRates",
    "ModelName",
    "ModelSpec",
    "Pattern",
    "RayConfig",
    "SavingDataParams",
    "SpectrogramCnnArchitecture",
    "SplitConfig",
    "TrainStep",
    "TransformerArchitecture",
    "Wav2Vec2CnnArchitecture",
    "Wav2Vec2FnArchitecture",
    "concatenated",
    "joined",
    "model_spec",
    "train_faults",
]

MIN_PATCHES = 17
"""Fewest patches of a transformer's spectrogram."""


def joined(parts: list[str]) -> Path:
    """A list of folder names as one path."""
    return Path(*parts)


def concatenated(parts: list[str]) -> str:
    """The parts of a name as one string."""
    return "".join(parts)


class SavingDataParams(Block):
    """Where results go. Paths are lists of folder names, names are lists of parts."""

    saved_checkpoints_path: Texts = Field(
        default=["$$ROOT_DIR$$", "runs", "$$MODEL_NAME$$", "$$DATETIME$$"], description="The run folder."
    )
    saved_checkpoints_filename: Texts = Field(
        default=["classifier_", "$$DATETIME$$", "_{epoch:02d}"], description="Name of the best checkpoint."
    )
    tensorboard_lr_monitors_logs_path: Texts | None = Field(
        default=None, description="Folder of the TensorBoard logs; by default logs in the run folder."
    )
    tensorboard_lr_monitors_logs_name: Texts | None = Field(default=None, description="Folder of one experiment.")
    tensorboard_lr_monitors_logs_version: Texts | None = Field(default=None, description="Folder of one version.")
    tensorboard_lr_monitors_logs_sub_dir: Texts | None = Field(default=None, description="Folder below the version.")
    start_from_saved_checkpoint_path: Texts | None = Field(
        default=None, description="Checkpoint to go on from; null starts anew."
    )
    tune_results_path: Texts = Field(default=["$$ROOT_DIR$$", "tmp", "tune"], description="Folder of tuning results.")
    tune_results_dir: Texts = Field(default=["tune_", "$$DATETIME$$"], description="Name of one tuning's folder.")
    tune_session_path: Texts = Field(
        default=["$$ROOT_DIR$$", "tmp", "ray", "session"], description="Folder of Ray's session files."
    )


class ModelStep(StepConfig):
    """What ``train`` and ``tune`` steps have in common, but for the values that are tuned."""

    name: Text | None = Field(default=None, description="Name of the run.")
    model: ModelName
    saving_data_params: SavingDataParams = SavingDataParams()
    dataset: DatasetConfig = DatasetConfig()
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        default="auto", description="Devices, or processes on the CPU, that train together; auto: one."
    )
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = Field(
        default="auto", description="How they share the work; auto: ddp."
    )


class FixedStep(ModelStep):
    """What ``train`` and ``evaluate`` steps have in common."""

    model_architecture: Architecture = Field(default_factory=lambda: cast(Any, {}), validate_default=True)
    learn_params: LearnParams = LearnParams()

    @field_validator("model_architecture", mode="wrap")
    @classmethod
    def _of_the_model(cls, value: Any, _: Any, info: ValidationInfo) -> Any:
        return by_model(value, info, ARCHITECTURES)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return schema_by_model(handler(core), handler)


class TrainStep(FixedStep):
    """Train one model."""

    type: Literal["train"] = "train"
    engine: Literal["local", "ray"] = Field(default="local", description="ray: train through a Ray cluster.")
    ray: RayConfig = RayConfig()


def by_model(value: Any, info: ValidationInfo, architectures: Mapping[str, type[Block]]) -> Any:
    """Validate a step's ``model_architecture`` by the class of its ``model``; an unknown model lets it pass."""
    architecture = architectures.get(info.data.get("model", ""))
    return value if architecture is None else architecture.model_validate(value)


def schema_by_model(schema: JsonSchemaValue, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """Say in a step's JSON Schema that its ``model`` decides on its ``model_architecture``."""
    step = handler.resolve_ref_schema(schema)
    classes = step["properties"]["model_architecture"]["anyOf"]
    step["properties"]["model_architecture"] = {"type": "object"}
    step["allOf"] = [
        {
            "if": {"properties": {"model": {"const": name}}},
            "then": {"properties": {"model_architecture": architecture}},
        }
        for name, architecture in zip(ARCHITECTURES, classes, strict=True)
    ]
    return schema


def patch_fault(patch: int, size: int) -> str | None:
    """What is wrong with patches of side ``patch`` on a spectrogram of ``size`` x ``size``, if anything."""
    if size % patch:
        return f"must divide learn_params.spectrogram_size, which is {size}"
    if (size // patch) ** 2 < MIN_PATCHES:
        return f"cuts {size} x {size} into {(size // patch) ** 2} patches, at least {MIN_PATCHES} are needed"
    return None


def raw_value(raw: Mapping[str, Any], block: str, key: str, default: Any) -> Any:
    """A value of a step's raw object, or its default, whatever else is wrong in it."""
    inside = raw.get(block)
    return inside.get(key, default) if isinstance(inside, dict) else default


def train_faults(raw: Mapping[str, Any]) -> list[Fault]:
    """Faults between fields of a ``train`` step's raw object."""
    if raw.get("model") in ENCODER_MODELS:
        return _encoder_faults(raw)
    if raw.get("model") == "FunctionalsClassifier":
        return mask_faults(raw)
    if raw.get("model") != "TransformerClassifier":
        return []
    patch = raw_value(raw, "model_architecture", "patch_transformer_size", 16)
    size = raw_value(raw, "learn_params", "spectrogram_size", 128)
    if type(patch) is not int or type(size) is not int or patch < 1 or size < 1:
        return []
    fault = patch_fault(patch, size)
    return [Fault("model_architecture.patch_transformer_size", str(patch), fault)] if fault else []


def mask_faults(raw: Mapping[str, Any]) -> list[Fault]:
    """Masks and shifts are for features with bins and frames; what a file does not ask for is off."""
    chosen = raw_value(raw, "learn_params", "augmentation", None)
    features = chosen.get("features") if isinstance(chosen, dict) else None
    if not isinstance(features, dict) or features.get("probability", 1.0) == 0:
        return []
    why = (
        "must be 0 or left out: statistics have no bins and frames to hide; model_architecture.input_dropout hides them"
    )
    return [Fault("learn_params.augmentation.features.probability", str(features.get("probability", 1.0)), why)]


def _encoder_faults(raw: Mapping[str, Any]) -> list[Fault]:
    layers = raw_value(raw, "model_architecture", "trainable_layers", None)
    if type(layers) is not int:
        return []
    where, found = "model_architecture.trainable_layers", str(layers)
    if raw_value(raw, "model_architecture", "freeze", True) is not False:
        return [Fault(where, found, "needs freeze: false beside it")]
    embedding = raw_value(raw, "model_architecture", "embedding", "conv")
    if embedding in ("conv", "projection"):
        return [Fault(where, found, "needs an embedding of the transformer: weighted, or the number of a layer")]
    if type(embedding) is int and layers > embedding:
        return [Fault(where, found, f"must be at most {embedding}, the layer that is the embedding")]
    return []


class ModelSpec(Block):
    """A resolved model: what it takes to build it again. Kept as JSON in checkpoints, run folders and bundles."""

    model: ModelName
    architecture: dict[str, Any]
    window_samples: int = Field(gt=0, description="Samples of one window at 16 kHz.")
    spectrogram_size: int = Field(gt=0)
    targets: dict[str, list[str]] = Field(description="Labels of each target, in the order of the outputs.")
    encoder: dict[str, Any] | None = Field(
        default=None, description="What it takes to build the encoder but for its weights, once it was loaded."
    )

    @property
    def classes(self) -> dict[str, int]:
        """How many labels each target has."""
        return {target: len(labels) for target, labels in self.targets.items()}


def model_spec(step: FixedStep, targets: Mapping[str, list[str]]) -> ModelSpec:
    """Resolve a ``train`` step for the targets of a dataset, name -> labels in output order."""
    from emotions.audio.decode import SAMPLE_RATE

    return ModelSpec(
        model=step.model,
        architecture=step.model_architecture.model_dump(),
        window_samples=round(step.learn_params.padding_sec * SAMPLE_RATE),
        spectrogram_size=step.learn_params.spectrogram_size,
        targets={name: list(labels) for name, labels in targets.items()},
    )
