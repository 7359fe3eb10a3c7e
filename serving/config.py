"""The ``predict`` and ``benchmark`` steps of a pipeline file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from emotions.schema import StepConfig

Scenario = Literal["session", "folder", "service", "peer", "pressure"]
"""What the harness measures: layers from the bare model outwards, BentoML's own batcher, overload and half load."""
SCENARIOS: tuple[Scenario, ...] = ("session", "folder", "service")
"""What it measures unless told."""

Text = Annotated[str, Field(min_length=1)]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[Text], Field(min_length=1), BeforeValidator(_as_list, json_schema_input_type=Text | list[Text])]


class PredictStep(StepConfig):
    """Classify recordings into a table."""

    type: Literal["predict"] = "predict"
    inputs: Texts = Field(description="Recordings, folders that are searched for them, patterns, tables or URLs.")
    bundle: Text | None = Field(
        default=None, description="The bundle; by default the one just exported, else the newest in bundles."
    )
    output: Texts = Field(
        description="The table: .csv, .jsonl, .parquet, or a folder of Parquet files; a list of folder names is joined."
    )
    overwrite: bool = Field(default=False, description="Replace a table that is there already.")
    resume: bool = Field(default=False, description="Go on with a table that a killed run did not finish.")
    windows: bool = Field(default=False, description="One row a window rather than one a file.")
    embeddings: bool = Field(default=False, description="A column with what the model's last layers hear.")
    plot: Texts | None = Field(default=None, description="Picture (.png) of label shares, confidence and duration.")
    ray_address: Text | None = Field(
        default=None, description="Ray cluster to classify on: auto, local or host:port; by default this process."
    )


class BenchmarkStep(StepConfig):
    """Measure how fast a bundle answers, layer by layer."""

    type: Literal["benchmark"] = "benchmark"
    bundle: Text | None = Field(
        default=None, description="The bundle; by default the one just exported, else the newest in bundles."
    )
    data: Text | None = Field(default=None, description="Folder of recordings; by default synthetic ones are made.")
    output: Texts = Field(description="Folder of the report; a list of folder names is joined.")
    scenarios: Annotated[list[Scenario], Field(min_length=1)] = Field(
        default=[*SCENARIOS], description="Layers to measure; the bare session always is, as what they compare with."
    )
    quick: bool = Field(default=False, description="A shorter measurement, to see that everything works.")
