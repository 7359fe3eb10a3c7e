"""The ``export`` step of a pipeline file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from emotions.pipeline.schema import StepConfig, Text, Texts

Format = Literal["onnx", "torchscript", "pt2"]
VariantName = Literal["fp16", "int8"]


def _each_once(names: list[Any]) -> list[Any]:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"names {', '.join(sorted(twice))} twice")
    return names


HUGGINGFACE = "hf:"
"""Prefix of a source that is a checkpoint of others: a folder, or a name on the hub."""


class ExportStep(StepConfig):
    """Export a trained model as a bundle."""

    type: Literal["export"] = "export"
    source: Text = Field(
        default="last_run",
        description="last_run (of the train step before), best_trial (of the tune step before), the path of a run "
        "folder or a checkpoint, or hf: and a checkpoint of others (a folder, or a name on the hub).",
    )
    refit: bool = Field(
        default=False,
        description="With best_trial: first train its values again, max_epoch epochs, on training and validation part.",
    )
    output: Texts | None = Field(
        default=None, description="The bundle's folder; a list of folder names is joined. By default bundles/<name>."
    )
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Name of the bundle; by default the run's, else the model and its first target."
    )
    target: Text | None = Field(
        default=None, description="For an hf: source: what its labels are of; by default emotion."
    )
    labels: Annotated[list[Text], Field(min_length=2), AfterValidator(_each_once)] | None = Field(
        default=None, description="For an hf: source that names no labels: they, in the order of its outputs."
    )
    formats: Annotated[list[Format], Field(min_length=1), AfterValidator(_each_once)] = Field(
        default=["onnx"],
        description="Artifacts of the model: onnx, which is always there, torchscript (model.ts), pt2 (model.pt2, of "
        "torch.export).",
    )
    variants: Annotated[list[VariantName], AfterValidator(_each_once)] = Field(
        default=[],
        description="Smaller forms of the ONNX model, kept where validation clips show that they lose little: fp16 "
        "for GPUs, int8 for CPUs.",
    )
    allow_loss: bool = Field(default=False, description="Keep variants that lose more than they may.")
    embedding: bool = Field(
        default=False,
        description="Answer the input of the model's output layers, too: an output embedding [batch, dims].",
    )
    max_risk: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Answer unknown below the confidence above which, by held-out clips, at most this share of the "
        "answers to new speakers is wrong; null: never.",
    )

    @model_validator(mode="after")
    def _target_is_for_huggingface(self) -> Self:
        if (self.target or self.labels) and not self.source.startswith(HUGGINGFACE):
            raise ValueError("a target or labels are named for an hf: source only: other models know theirs")
        return self
