"""``emotions predict``: its options, and what is classified where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from emotions.pipeline.energy.options import CpuWatts, EnergyOption
from emotions.pipeline.options import Overwrite

if TYPE_CHECKING:
    from serving.batch.options import Options

BundleOption = Annotated[
    Path | None, typer.Option("--bundle", metavar="DIR", help="The bundle; by default the newest in ./bundles.")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the model runs.")]
Variant = Annotated[
    str | None, typer.Option(metavar="V", help="Form of the model: fp32, fp16, int8; default: by device.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; by default one a core.")]
TableOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="TABLE",
        help="Table to write: .csv, .jsonl, .parquet, .audformat; no ending: a folder. Without it a line a recording.",
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT...", help="Recordings, folders, patterns, tables of segments, URLs; - is a list on stdin."
    ),
]
Lists = Annotated[
    list[str] | None, typer.Option("--list", metavar="FILE", help="File with a path or URL a line; repeatable.")
]
Embeddings = Annotated[bool, typer.Option("--embeddings", help="A column with the input of the model's output layers.")]
Plot = Annotated[
    Path | None,
    typer.Option(
        metavar="PNG",
        help="Draw label shares, confidence, duration, or a timeline.",
    ),
]
RayAddress = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Classify on a Ray cluster: auto, local or host:port.")
]
ChunkFiles = Annotated[
    int, typer.Option("--chunk", min=1, metavar="FILES", help="Files that a killed run loses at most.")
]
Strict = Annotated[bool, typer.Option("--strict", help="A recording that is cut off or damaged is an error.")]
Segmented = Annotated[
    Literal["windows", "speech"], typer.Option("--segments", help="Classify all of a recording, or its speech alone.")
]
ChannelsOption = Annotated[
    str, typer.Option("--channels", metavar="mix|first|split|N", help="Channels: mean, first, each, or one by number.")
]
Speakers = Annotated[
    str, typer.Option("--speakers", metavar="NAME,NAME", help="Who is on channel 1, 2 and so on, for --channels split.")
]
Calls = Annotated[
    Path | None,
    typer.Option("--calls", metavar="JSONL", help="Write what each call comes to: talk, interruptions, averages."),
]
DiarisationOption = Annotated[
    Path | None,
    typer.Option("--diarisation", metavar="PATH", help="Who speaks when: RTTM, JSON, or a folder of such."),
]
Timeline = Annotated[
    str,
    typer.Option(
        "--timeline",
        metavar="FORMAT,...",
        help="A file a recording as textgrid, elan, audacity, rttm, srt, vtt or label-studio.",
    ),
]
TimelineFolder = Annotated[
    Path | None, typer.Option("--timeline-folder", metavar="DIR", help="Where; by default beside the table.")
]
PageOption = Annotated[
    Path | None,
    typer.Option(
        "--page", metavar="HTML", help="Write a page: the table, and each recording over time, played where it lies."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]


def predict(  # noqa: PLR0913 - one parameter an option
    *,
    inputs: Inputs = None,
    output: TableOption = None,
    lists: Lists = None,
    bundle: BundleOption = None,
    overwrite: Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a killed run stopped.")] = False,
    windows: Annotated[
        bool,
        typer.Option("--windows", help="A row a window; on the terminal a timeline."),
    ] = False,
    embeddings: Embeddings = False,
    plot: Plot = None,
    ray_address: RayAddress = None,
    device: Device = "auto",
    variant: Variant = None,
    threads: Threads = None,
    chunk: ChunkFiles = 512,
    strict: Strict = False,
    segments: Segmented = "windows",
    channels: ChannelsOption = "mix",
    speakers: Speakers = "",
    diarisation: DiarisationOption = None,
    calls: Calls = None,
    page: PageOption = None,
    timeline: Timeline = "",
    timeline_folder: TimelineFolder = None,
    energy: EnergyOption = None,
    cpu_watts: CpuWatts = None,
    quiet: Quiet = False,
    log_format: Annotated[Literal["text", "json"], typer.Option(help="Format of progress and summary.")] = "text",
) -> None:
    """Classify recordings, into a table or on the terminal. Exit code 1: some files failed, each with its error."""
    from emotions.calls.channels import channels_of, speakers_of
    from emotions.pipeline.energy.config import energy_of
    from serving.batch.annotations import formats_of
    from serving.batch.options import Options

    if not inputs and not lists:
        raise typer.BadParameter("name an INPUT, or a --list of them")
    options = Options(
        overwrite=overwrite,
        resume=resume,
        lists=lists or (),
        windows=windows,
        embeddings=embeddings,
        plot=plot,
        ray_address=ray_address,
        device=device,
        variant=variant,
        threads=threads,
        chunk_files=chunk,
        strict=strict,
        segments=segments,
        channels=channels_of(channels),
        speakers=speakers_of(speakers),
        diarisation=diarisation,
        calls=calls,
        page=page,
        timeline=formats_of(timeline),
        timeline_folder=timeline_folder,
        energy=energy_of(energy, cpu_watts),
        quiet=quiet,
        log_format=log_format,
    )
    if _failed(inputs or (), bundle, output, options):
        raise typer.Exit(1)


def _failed(inputs: Sequence[str], bundle: Path | None, output: Path | None, options: Options) -> int:
    """Classify into a table, or on the terminal where none is named: how many files failed."""
    from emotions.bundle.folders import newest_bundle
    from serving.batch.predict import predict_to_table
    from serving.batch.show import show_predictions

    chosen = bundle or newest_bundle(Path("bundles"))
    if output is not None:
        return predict_to_table(inputs, chosen, output, options).errors
    _refuse_of_tables(options)
    return show_predictions(inputs, chosen, options).errors


def _refuse_of_tables(options: Options) -> None:
    """Refuse options that only a table has."""
    given = {
        "--overwrite": options.overwrite,
        "--resume": options.resume,
        "--embeddings": options.embeddings,
        "--calls": options.calls is not None,
        "--page": options.page is not None,
        "--timeline": bool(options.timeline),
        "--ray-address": options.ray_address is not None,
        "--log-format json": options.log_format != "text",
    }
    for option in (name for name, is_set in given.items() if is_set):
        raise typer.BadParameter(f"{option} is for tables: name one with --output")
