"""Commands and steps of serving. Heavy modules are imported when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from emotions.energy.options import CpuWatts, EnergyOption
from emotions.pipeline.options import BundlePath, bundle_commands, label_commands
from emotions.pipeline.runner import Context, Step
from serving.batch.drift.command import drift, reference
from serving.batch.label.backend_command import backend
from serving.batch.label.command import tasks
from serving.benchmark_command import benchmark, compare
from serving.http.page.static_site.commands import to_space, to_web
from serving.serve_command import serve, serve_key, ui

if TYPE_CHECKING:
    from serving.batch.options import Options
    from serving.config import BenchmarkStep, PredictStep

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


def register(app: typer.Typer) -> None:
    """Add ``predict``, ``serve`` and ``benchmark`` to the command line."""
    app.command()(predict)
    app.command()(serve)
    app.command()(ui)
    app.command()(serve_key)
    measure = typer.Typer(invoke_without_command=True)  # `benchmark` measures by itself, and has `compare` below it
    measure.callback()(benchmark)
    measure.command()(compare)
    app.add_typer(measure, name="benchmark")
    watch = typer.Typer(invoke_without_command=True)  # `drift` compares by itself, and has `reference` below it
    watch.callback()(drift)
    watch.command()(reference)
    app.add_typer(watch, name="drift")
    labels = label_commands(app)
    labels.command()(tasks)
    labels.command()(backend)
    bundles = bundle_commands(app)
    bundles.command()(to_bentoml)
    bundles.command()(from_bentoml)
    bundles.command()(to_web)
    bundles.command()(to_space)


def to_bentoml(
    bundle: BundlePath,
    tag: Annotated[str | None, typer.Option(metavar="NAME[:VERSION]", help="By default name and model hash.")] = None,
) -> None:
    """Copy a bundle into BentoML's model store and print its tag."""
    from emotions.bundle.manifest import read_bundle
    from serving.worker.model_store import to_store

    typer.echo(to_store(read_bundle(bundle), tag))


def from_bentoml(
    tag: Annotated[str, typer.Argument(metavar="TAG", help="As bentoml models list shows it.")],
    output: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder to write; it must not be there yet.")],
) -> None:
    """Copy a bundle out of BentoML's model store, its files checked."""
    from serving.worker.model_store import from_store

    typer.echo(from_store(tag, output))


def predict(  # noqa: PLR0913 - one parameter an option
    *,
    inputs: Inputs = None,
    output: TableOption = None,
    lists: Lists = None,
    bundle: BundleOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a table that is there already.")] = False,
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
    from emotions.energy.config import energy_of
    from serving.batch.annotations import formats_of
    from serving.batch.options import Options
    from serving.batch.predict import predict_to_table
    from serving.batch.show import show_predictions

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
    chosen = bundle or _newest(Path())
    if output is None:
        _refuse_of_tables(options)
        totals = show_predictions(inputs or (), chosen, options)
    else:
        totals = predict_to_table(inputs or (), chosen, output, options)
    if totals.errors:
        raise typer.Exit(1)


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


def _newest(root: Path) -> Path:
    from emotions.bundle.folders import newest_bundle

    return newest_bundle(root / "bundles")


def _bundle(named: str | None, context: Context) -> Path:
    """The bundle of a step: the one it names, else the one just exported, else the newest."""
    return context.root / named if named else context.last_bundle or _newest(context.root)


def _predict_step() -> Any:
    from serving.config import PredictStep

    return PredictStep


def _predict(step: PredictStep, context: Context) -> None:
    from serving.batch.predict import predict_to_table

    inputs = [_placed(name, context.root) for name in step.inputs]
    options = _options(step, context)
    totals = predict_to_table(inputs, _bundle(step.bundle, context), context.root.joinpath(*step.output), options)
    context.failures += totals.errors


def _placed(name: str, root: Path) -> str:
    """An input of a step: paths are relative to the root; URLs and standard input stay as they are."""
    from emotions.inputs.input_file import STANDARD_INPUT, is_url

    return name if name == STANDARD_INPUT or is_url(name) else str(root / name)


def _options(step: PredictStep, context: Context) -> Options:
    from serving.batch.options import Options

    shared_names = {"overwrite", "resume", "windows", "embeddings", "ray_address", "variant", "strict", "segments"}
    shared_names |= {"channels", "speakers", "timeline"}
    shared = step.model_dump(include=shared_names)
    names = ("plot", "diarisation", "calls", "page", "timeline_folder")
    given: dict[str, Any] = {
        name: context.root.joinpath(*parts) for name in names if (parts := getattr(step, name)) is not None
    }
    return Options(**shared, **given, energy=step.energy, quiet=context.quiet)


def _check_table(step: PredictStep, context: Context) -> None:
    from serving.batch.options import check_table

    check_table(context.root.joinpath(*step.output), _options(step, context))


def _benchmark_step() -> Any:
    from serving.config import BenchmarkStep

    return BenchmarkStep


def _benchmark(step: BenchmarkStep, context: Context) -> None:
    from serving.benchmark.runner import Plan, benchmark_to_report

    bundle, output = _bundle(step.bundle, context), context.root.joinpath(*step.output)
    data = context.root / step.data if step.data else None
    shared = step.model_dump(include={"scenarios", "quick", "seconds", "durations", "p99_limit_ms", "install_peers"})
    common = {"energy": step.energy, "seed": context.seed, "quiet": context.quiet}
    benchmark_to_report(Plan(bundle, output, data, **shared, **common))


PREDICT = Step(_predict_step, _predict, preflight=_check_table)
BENCHMARK = Step(_benchmark_step, _benchmark)
