"""Commands and steps of serving. Heavy modules are imported when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotions.pipeline.options import BundlePath, bundle_commands, label_commands
from emotions.pipeline.runner import Context, Step
from serving.batch.command import predict
from serving.batch.drift.command import drift, reference
from serving.batch.label.backend_command import backend
from serving.batch.label.command import tasks
from serving.benchmark.command import benchmark, compare
from serving.http.page.static_site.commands import to_space, to_web
from serving.serve_command import serve, serve_key, ui

if TYPE_CHECKING:
    from serving.batch.options import Options
    from serving.config import BenchmarkStep, PredictStep


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
    from emotions.bundle.bundle import read_bundle
    from serving.worker.model_store import to_store

    typer.echo(to_store(read_bundle(bundle), tag))


def from_bentoml(
    tag: Annotated[str, typer.Argument(metavar="TAG", help="As bentoml models list shows it.")],
    output: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder to write; it must not be there yet.")],
) -> None:
    """Copy a bundle out of BentoML's model store, its files checked."""
    from serving.worker.model_store import from_store

    typer.echo(from_store(tag, output))


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
    own: dict[str, Any] = {**shared, "energy": step.energy, "seed": context.seed, "quiet": context.quiet}
    benchmark_to_report(Plan(bundle, output, data, **own))


PREDICT = Step(_predict_step, _predict, preflight=_check_table)
BENCHMARK = Step(_benchmark_step, _benchmark)
