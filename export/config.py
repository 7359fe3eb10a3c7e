"""The ``export`` step of a pipeline file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from emotions.schema import StepConfig

Text = Annotated[str, Field(min_length=1)]
Format = Literal["onnx"]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Parts = Annotated[list[Text], Field(min_length=1), BeforeValidator(_as_list, json_schema_input_type=Text | list[Text])]


class ExportStep(StepConfig):
    """Export a trained model as a bundle."""

    type: Literal["export"] = "export"
    source: Text = Field(
        default="last_run",
        description="last_run (of the train step before), best_trial (of the tune step before), or the path of a run "
        "folder or a checkpoint.",
    )
    refit: bool = Field(
        default=False,
        description="With best_trial: first train its values again, max_epoch epochs, on training and validation part.",
    )
    output: Parts | None = Field(
        default=None, description="The bundle's folder; a list of folder names is joined. By default bundles/<name>."
    )
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Name of the bundle; by default the run's, else the model and its first target."
    )
    formats: Annotated[list[Format], Field(min_length=1, max_length=1)] = Field(
        default=["onnx"], description="Forms of the model."
    )
    variants: Annotated[list[Text], Field(max_length=0)] = Field(
        default=[], description="Smaller forms of the model; this release makes none."
    )
