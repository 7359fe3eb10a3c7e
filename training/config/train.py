"""The ``train`` step of a pipeline file, and the model that it resolves to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Field, GetJsonSchemaHandler, ValidationInfo, field_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from emotions.bundle.targets import Range
from emotions.errors import Fault
from emotions.pipeline.energy.config import Energies
from emotions.pipeline.schema import Block, StepConfig, Text, Texts
from training.config.architectures import (
    ARCHITECTURES,
    ENCODER_MODELS,
    Architecture,
    Architectures,
    ModelName,
)
from training.config.dataset import DatasetConfig
from training.config.learning import LearnParams, RayConfig
from training.config.targets import Bounds
from training.config.teacher import Place, TeacherConfig, as_teacher, unlabelled_faults

FEATURES: Mapping[ModelName, int] = {
    "FunctionalsClassifier": 2,
    "SpectrogramCnnClassifier": 2,
    "TransformerClassifier": 2,
}
"""Version of the features that a new model is trained on; 1 where none is named."""
MIN_PATCHES = 17
"""Fewest patches of a transformer's spectrogram."""


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
    loggers: list[Literal["mlflow", "wandb", "trackio"]] = Field(
        default=[], description="Experiment trackers beside TensorBoard; each needs its package, as pip install mlflow."
    )
    energy: Energies = Field(
        default=None,
        description="Joules and CO2 of the training, by CodeCarbon (extra energy): a country as DEU, grams of CO2 per "
        "kWh, or an object; null: not measured.",
    )
    start_from_saved_checkpoint_path: Texts | None = Field(
        default=None, description="Checkpoint to go on from; null starts anew."
    )
    tune_results_path: Texts = Field(default=["$$ROOT_DIR$$", "tmp", "tune"], description="Folder of tuning results.")
    tune_results_dir: Texts = Field(default=["tune_", "$$DATETIME$$"], description="Name of one tuning's folder.")
    tune_session_path: Texts = Field(
        default=["$$ROOT_DIR$$", "tmp", "ray", "session"], description="Folder of Ray's session files."
    )


class ModelStep(StepConfig):
    """Base of the steps that train models; subclasses add ``model_architecture`` and ``learn_params``."""

    architectures: ClassVar[Architectures] = ARCHITECTURES

    name: Text | None = Field(default=None, description="Name of the run.")
    model: ModelName
    saving_data_params: SavingDataParams = SavingDataParams()
    dataset: DatasetConfig = DatasetConfig()
    teacher: TeacherConfig | None = Field(
        default=None, description="A bundle to learn from, beside the labels: its path, or an object."
    )
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        default="auto", description="Devices, or processes on the CPU, that train together; auto: one."
    )
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = Field(
        default="auto", description="How they share the work; auto: ddp."
    )

    @field_validator("teacher", mode="before", json_schema_input_type=TeacherConfig | Place | None)
    @classmethod
    def _with_defaults(cls, value: Any) -> Any:
        return as_teacher(value)

    @classmethod
    def _architecture(cls, value: Any, info: ValidationInfo) -> Any:
        """Validate ``model_architecture`` by the class of ``model``; with an unknown model it passes."""
        architecture = cls.architectures.get(info.data.get("model", ""))
        return value if architecture is None else architecture.model_validate(value)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema in which ``model`` decides on ``model_architecture``."""
        schema = handler(core)
        step = handler.resolve_ref_schema(schema)
        classes = step["properties"]["model_architecture"]["anyOf"]
        step["properties"]["model_architecture"] = {"type": "object"}
        step["allOf"] = [
            {
                "if": {"properties": {"model": {"const": name}}},
                "then": {"properties": {"model_architecture": architecture}},
            }
            for name, architecture in zip(cls.architectures, classes, strict=True)
        ]
        return schema


class FixedStep(ModelStep):
    """Base of ``train`` and ``evaluate`` steps, whose values are fixed."""

    model_architecture: Architecture = Field(default_factory=lambda: cast(Any, {}), validate_default=True)
    learn_params: LearnParams = LearnParams()

    @field_validator("model_architecture", mode="wrap")
    @classmethod
    def _of_the_model(cls, value: Any, _: Any, info: ValidationInfo) -> Any:
        return cls._architecture(value, info)


class TrainStep(FixedStep):
    """Train one model."""

    type: Literal["train"] = "train"
    engine: Literal["local", "ray"] = Field(default="local", description="ray: train through a Ray cluster.")
    ray: RayConfig = RayConfig()


def patch_fault(patch: int, size: int) -> str | None:
    """The fault of a patch size, or None.

    Args:
        patch: side of a patch.
        size: bins and frames of the spectrogram.
    """
    if size % patch:
        return f"must divide learn_params.spectrogram_size, which is {size}"
    if (size // patch) ** 2 < MIN_PATCHES:
        return f"cuts {size} x {size} into {(size // patch) ** 2} patches, at least {MIN_PATCHES} are needed"
    return None


def raw_value(raw: Mapping[str, Any], block: str, key: str, default: Any) -> Any:
    """A value of a step's raw object that may have faults.

    Args:
        raw: the step.
        block: key of the object in it.
        key: key in that object.
        default: given where the value or the object is missing.
    """
    inside = raw.get(block)
    return inside.get(key, default) if isinstance(inside, dict) else default


def train_faults(raw: Mapping[str, Any]) -> list[Fault]:
    """Faults of a ``train`` step that concern several fields."""
    return [*unlabelled_faults(raw), *_validation_faults(raw), *_energy_faults(raw), *_model_faults(raw)]


def val_folds_of(raw: Mapping[str, Any]) -> Any:
    """``dataset.split.val_folds`` of a step's raw object that may have faults; 0 where it is not given."""
    split = raw_value(raw, "dataset", "split", None)
    return split.get("val_folds", 0) if isinstance(split, dict) else 0


def _validation_faults(raw: Mapping[str, Any]) -> list[Fault]:
    """Faults of a choice of the epoch where no part is there to choose it by."""
    folds = val_folds_of(raw)
    if not folds:
        return []
    why = f"has no validation part to be chosen by, as dataset.split.val_folds is {folds}"
    keep, stop = (raw_value(raw, "learn_params", key, None) for key in ("keep", "early_stopping_epochs"))
    faults = (
        [] if keep == "last" else [Fault("learn_params.keep", str(keep or "best"), f'must be "last": an epoch {why}')]
    )
    if stop is not None:
        faults.append(Fault("learn_params.early_stopping_epochs", str(stop), f"must be null: the end {why}"))
    return faults


def _energy_faults(raw: Mapping[str, Any]) -> list[Fault]:
    """Faults of energy that is asked for where processes on other machines train."""
    asked = raw_value(raw, "saving_data_params", "energy", None)
    if asked is None or raw.get("engine") != "ray":
        return []
    why = "must be null with engine ray: it is that of this process, and of those that it starts"
    return [Fault("saving_data_params.energy", "" if isinstance(asked, dict) else str(asked)[:40], why)]


def _model_faults(raw: Mapping[str, Any]) -> list[Fault]:
    model = raw.get("model")
    if isinstance(model, str) and model in ENCODER_MODELS:
        return _encoder_faults(raw)
    if model == "FunctionalsClassifier":
        return mask_faults(raw)
    if model != "TransformerClassifier":
        return []
    patch = raw_value(raw, "model_architecture", "patch_transformer_size", 16)
    size = raw_value(raw, "learn_params", "spectrogram_size", 128)
    if type(patch) is not int or type(size) is not int or patch < 1 or size < 1:
        return []
    fault = patch_fault(patch, size)
    return [Fault("model_architecture.patch_transformer_size", str(patch), fault)] if fault else []


def mask_faults(raw: Mapping[str, Any]) -> list[Fault]:
    """Faults of masks that are requested for statistics, which have no bins and frames."""
    augmentation = raw_value(raw, "learn_params", "augmentation", None)
    features = augmentation.get("features") if isinstance(augmentation, dict) else None
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
    """Everything that a model is built from. Stored as JSON in checkpoints, run folders and bundles."""

    model: ModelName
    architecture: dict[str, Any]
    window_samples: int = Field(gt=0, le=60 * 16_000, description="Samples of one window at 16 kHz.")
    spectrogram_size: int = Field(gt=0, le=1024)
    targets: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(
        min_length=1, description="Labels or dimensions of each target, in the order of the outputs."
    )
    ranges: dict[str, Bounds] = Field(default={}, description="Range of each target of dimensions.")
    features: int = Field(default=1, ge=1, le=2, description="Version of the features; a trained model keeps its own.")
    encoder: dict[str, Any] | None = Field(
        default=None, description="What it takes to build the encoder but for its weights, once it was loaded."
    )

    @property
    def labels(self) -> dict[str, list[str]]:
        """The labels of each target that has labels."""
        return {target: names for target, names in self.targets.items() if target not in self.ranges}

    @property
    def classes(self) -> dict[str, int]:
        """How many labels or dimensions each target has."""
        return {target: len(labels) for target, labels in self.targets.items()}


def window_samples(step: FixedStep) -> int:
    """Samples of one window of a step's model, at 16 kHz."""
    from emotions.audio.decode import SAMPLE_RATE

    return round(step.learn_params.padding_sec * SAMPLE_RATE)


def model_spec(
    step: FixedStep, targets: Mapping[str, list[str]], ranges: Mapping[str, Range] = MappingProxyType({})
) -> ModelSpec:
    """Resolve a ``train`` step for a dataset.

    Args:
        step: names the model.
        targets: name -> labels or dimensions in output order.
        ranges: of the targets of dimensions.
    """
    return ModelSpec(
        model=step.model,
        architecture=step.model_architecture.model_dump(),
        window_samples=window_samples(step),
        spectrogram_size=step.learn_params.spectrogram_size,
        targets={name: list(labels) for name, labels in targets.items()},
        ranges=dict(ranges),
        features=FEATURES.get(step.model, 1),
    )
