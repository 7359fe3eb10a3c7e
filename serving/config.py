"""The ``predict`` and ``benchmark`` steps of a pipeline file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from emotions.pipeline.energy.config import Energies
from emotions.pipeline.schema import StepConfig, Text, Texts
from serving.benchmark.scenarios.names import SCENARIOS, Scenario


class PredictStep(StepConfig):
    """Classify recordings into a table."""

    type: Literal["predict"] = "predict"
    inputs: Texts = Field(description="Recordings, folders that are searched for them, patterns, tables or URLs.")
    bundle: Text | None = Field(
        default=None, description="The bundle; by default the one just exported, else the newest in bundles."
    )
    output: Texts = Field(
        description="The table: .csv, .jsonl, .parquet, .audformat, or a folder of Parquet files; a list is joined."
    )
    overwrite: bool = Field(default=False, description="Replace a table that is there already.")
    resume: bool = Field(default=False, description="Go on with a table that a killed run did not finish.")
    windows: bool = Field(default=False, description="One row a window rather than one a file.")
    embeddings: bool = Field(default=False, description="A column with the input of the model's output layers.")
    plot: Texts | None = Field(default=None, description="Picture (.png) of label shares, confidence and duration.")
    strict: bool = Field(default=False, description="A recording of which a part is missing is an error.")
    segments: Literal["windows", "speech"] = Field(
        default="windows", description="Classify all of a recording, or its speech alone."
    )
    channels: Literal["mix", "first", "split"] | Annotated[int, Field(ge=1, le=64)] = Field(
        default="mix", description="The mean of all channels, the first, each as a participant, or one by number."
    )
    speakers: list[Text] = Field(default=[], description="Names of the channels, where each is a participant.")
    diarisation: Texts | None = Field(
        default=None, description="RTTM, JSON, or a folder of such: who speaks when; each speaker is a participant."
    )
    timeline: list[Literal["textgrid", "elan", "audacity", "rttm", "srt", "vtt", "label-studio"]] = Field(
        default=[], description="Formats in which a file is written for each recording."
    )
    timeline_folder: Texts | None = Field(default=None, description="Where; by default a folder beside the table.")
    page: Texts | None = Field(default=None, description="Page (.html) of the recordings over time.")
    calls: Texts | None = Field(
        default=None, description="File (.jsonl) to write what each call comes to; its speech alone is classified."
    )
    variant: Text | None = Field(
        default=None,
        description="Form of the model: fp32, fp16, int8; by default, or for auto, what suits the device.",
    )
    ray_address: Text | None = Field(
        default=None, description="Ray cluster to classify on: auto, local or host:port; by default this process."
    )
    energy: Energies = Field(
        default=None,
        description="Joules and CO2, by CodeCarbon (extra energy): a country as DEU, grams of CO2 per kWh, or an "
        "object; null: not measured.",
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
        default=[*SCENARIOS], description="What to measure; the bare session always is, as what layers compare with."
    )
    durations: Text = Field(
        default="1-5",
        description="Of synthetic recordings, in seconds: LOW-HIGH, or speech for a mix as in utterances.",
    )
    seconds: float | None = Field(
        default=None, ge=1, description="Seconds of each run of a scenario; by default what suits the whole or quick."
    )
    install_peers: bool = Field(
        default=False, description="Make the environments of other servers that lack one, from the package index."
    )
    p99_limit_ms: float = Field(default=100.0, gt=0, description="Latency that the search holds the service to.")
    quick: bool = Field(default=False, description="A shorter measurement, to see that everything works.")
    energy: Energies = Field(
        default=None,
        description="Joules and CO2, by CodeCarbon (extra energy): a country as DEU, grams of CO2 per kWh, or an "
        "object; null: not measured.",
    )
