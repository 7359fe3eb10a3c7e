"""The ``export`` command and step. What is heavy is imported when it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from emotions.errors import CheckpointError, ConfigError
from emotions.files.from_here import from_here
from emotions.pipeline.interruption import keeping, stoppable
from emotions.pipeline.next_command import next_command
from emotions.pipeline.options import BundlePath, bundle_commands
from emotions.pipeline.runner import Context, Step
from export.named_source import ONNX, Said, export_named, labels_of

if TYPE_CHECKING:
    from export.bundle.variants import ExportOptions
    from export.config import ExportStep

_NOTHING = "nothing is kept of a bundle that is not whole"
BUNDLES = "bundles"
"""Folder that bundles go to unless another is named."""

RunOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder of a training.")]
CheckpointOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Checkpoint (.ckpt).")]
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="NAME_OR_FOLDER", help="Checkpoint of others: a folder, or a name on the hub."),
]
OnnxOption = Annotated[Path | None, typer.Option(metavar="FILE", help="ONNX classifier of a waveform; needs --labels.")]
RateOption = Annotated[int | None, typer.Option(metavar="HZ", help="With --onnx: what it takes; by default 16000.")]
KindOption = Annotated[
    str | None, typer.Option(metavar="K", help="With --onnx: logits or probabilities; by default what they look like.")
]
HubOption = Annotated[str | None, typer.Option(metavar="NAME_OR_FOLDER", help="The same as --from.")]
SearchOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Results folder of a search: its best trial.")]
RefitOption = Annotated[
    bool,
    typer.Option("--refit", help="With --tune-results: train the best values again, on training and validation part."),
]
OutputOption = Annotated[
    Path | None, typer.Option(metavar="BUNDLE", help="Folder of the bundle to write; by default bundles/<name>.")
]
DataOption = Annotated[
    Path | None,
    typer.Option(metavar="D", help="Recordings to prove the export on; by default the run's validation and test."),
]
TargetOption = Annotated[
    str | None, typer.Option(metavar="T", help="With --from or --onnx: what its labels are of; by default emotion.")
]
LabelsOption = Annotated[
    str | None,
    typer.Option(metavar="A,B,C", help="With --from: labels in the order of the outputs, if it names none; or --onnx."),
]
FormatOption = Annotated[
    list[str] | None,
    typer.Option("--format", metavar="F", help="onnx (always there), torchscript, pt2; may be repeated."),
]
VariantOption = Annotated[
    list[str] | None, typer.Option("--variant", metavar="V", help="fp16 (GPU), int8 (CPU); may be repeated.")
]
RiskOption = Annotated[
    float | None, typer.Option(min=0.0001, max=0.9999, help="Answer unknown where more would be wrong.")
]
EvaluationOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Report of emotions evaluate on the same model, to be quoted.")
]


def register(app: typer.Typer) -> None:
    """Add ``export`` to the command line."""
    app.command()(export)
    bundle_commands(app).command()(to_triton)


def export(  # noqa: PLR0913, PLR0917 - options of a command line
    run: RunOption = None,
    checkpoint: CheckpointOption = None,
    from_: FromOption = None,
    hf: HubOption = None,
    onnx: OnnxOption = None,
    tune_results: SearchOption = None,
    refit: RefitOption = False,
    output: OutputOption = None,
    name: Annotated[str | None, typer.Option(metavar="N", help="Name of the bundle.")] = None,
    data: DataOption = None,
    target: TargetOption = None,
    labels: LabelsOption = None,
    sampling_rate: RateOption = None,
    output_kind: KindOption = None,
    formats: FormatOption = None,
    variants: VariantOption = None,
    embedding: Annotated[bool, typer.Option("--embedding", help="Answer the input of the output layers, too.")] = False,
    allow_loss: Annotated[bool, typer.Option("--allow-loss", help="Keep variants that lose too much.")] = False,
    max_risk: RiskOption = None,
    evaluation: EvaluationOption = None,
) -> None:
    """Export a trained model as a bundle, once it is proven to answer as the model does."""
    from emotions.files.atomic import refuse_existing
    from export.config import HUGGINGFACE

    named = [str(path) for path in (run, checkpoint, tune_results) if path]
    sources = [*named, *(HUGGINGFACE + other for other in (from_, hf) if other is not None)]
    sources += [] if onnx is None else [ONNX + str(onnx)]
    if len(sources) != 1:
        raise ConfigError(
            "say what to export: one of --run DIR, --checkpoint FILE, --tune-results DIR, --from NAME_OR_FOLDER and "
            "--onnx FILE"
        )
    if output is not None:
        refuse_existing(output)
    options = export_options(
        formats or ["onnx"],
        variants or [],
        allow_loss=allow_loss,
        embedding=embedding,
        max_risk=max_risk,
        evaluation=evaluation,
    )
    with stoppable(), keeping(*_kept(output)):
        source = sources[0]
        if tune_results is not None:
            source = str(_best_run(tune_results, Context(Path.cwd(), 0, 0, {}), again=refit))
        said = Said(target, labels_of(labels), sampling_rate, output_kind)
        bundle = export_named(source, said, output, name, data=data, bundles=Path(BUNDLES), wanted=options)
        _report(bundle, is_last=True)


def _kept(output: Path | None) -> tuple[Callable[[], str], Callable[[], str | None]]:
    """What an export that is stopped has kept, and what goes on: it may have become whole just before."""

    def is_whole() -> bool:
        return output is not None and output.is_dir()

    return (
        lambda: f"the bundle {output and from_here(output)} is whole" if is_whole() else _NOTHING,
        lambda: f"emotions info --bundle {output and from_here(output)}" if is_whole() else None,
    )


def export_options(formats: Sequence[str], variants: Sequence[str], **others: Any) -> ExportOptions:
    """Check what a command asks for.

    Args:
        formats: names of formats.
        variants: names of variants.
        others: the other fields of ``ExportOptions``.

    Raises:
        ConfigError: there is no such format or variant.
    """
    from emotions.pipeline.validation import unknown
    from export.bundle.variants import ExportOptions
    from export.config import Format, VariantName

    for option, names, known in (
        ("--format", formats, get_args(Format)),
        ("--variant", variants, get_args(VariantName)),
    ):
        for name in names:
            if name not in known:
                raise ConfigError(f"{option}: {name!r} is none; {unknown(name, known)}")
    return ExportOptions(tuple(dict.fromkeys(formats)), tuple(dict.fromkeys(variants)), **others)


def to_triton(
    bundle: BundlePath,
    repository: Annotated[Path, typer.Argument(metavar="DIR", help="Triton's model repository.")],
    variant: Annotated[str, typer.Option(metavar="V", help="Which ONNX variant.")] = "fp32",
    name: Annotated[str | None, typer.Option(metavar="N", help="Name there; by default the bundle's.")] = None,
) -> None:
    """Write a bundle as a model of NVIDIA Triton's ONNX Runtime backend, with dynamic batching."""
    from emotions.bundle.bundle import read_bundle
    from export.triton import to_triton as write

    typer.echo(write(read_bundle(bundle), repository, variant=variant, name=name))


def _export_step() -> Any:
    from export.config import ExportStep

    return ExportStep


def _export(step: ExportStep, context: Context) -> None:
    output = None if step.output is None else context.root.joinpath(*step.output)
    options = export_options(
        step.formats,
        step.variants,
        allow_loss=step.allow_loss,
        embedding=step.embedding,
        max_risk=step.max_risk,
        evaluation=context.last_evaluation,
    )
    with keeping(*_kept(output)):
        source, bundles = _source(step, context), context.root / BUNDLES
        said = Said(step.target, tuple(step.labels or ()))
        context.last_bundle = export_named(
            source,
            said,
            output,
            step.name,
            seed=context.seed,
            bundles=bundles,
            wanted=options,
        )
    _report(context.last_bundle, is_last=context.is_last)


def _source(step: ExportStep, context: Context) -> str:
    from export.config import HUGGINGFACE

    if step.source.startswith(HUGGINGFACE):
        name = step.source.removeprefix(HUGGINGFACE)
        folder = context.root / name
        return HUGGINGFACE + (str(folder) if folder.is_dir() else name)
    if step.source == "best_trial":
        if context.last_search is None:
            raise ConfigError("export source 'best_trial': no tune step ran before; put one there")
        return str(_best_run(context.last_search, context, again=step.refit))
    if step.source != "last_run":
        return str(context.root / step.source)
    if context.last_run is None:
        raise ConfigError(
            "export source 'last_run': no train step ran before; put one there, or name a run folder or a checkpoint"
        )
    return str(context.last_run)


def _best_run(results: Path, context: Context, *, again: bool) -> Path:
    """The run folder of a search's best trial, or of its values trained again."""
    from training.tuning.records import Results
    from training.tuning.refit import refit

    return refit(results, context) if again else Results(results).best_run()


def _report(bundle: Path, *, is_last: bool) -> None:
    from export.bundle.report import summary

    typer.echo(summary(bundle))
    if is_last:
        typer.echo(next_command("predict", "RECORDING", "--bundle", bundle))
        typer.echo(next_command("serve", "--bundle", bundle))


def _check_output(step: ExportStep, context: Context) -> None:
    from emotions.files.atomic import refuse_existing

    if step.output is not None:
        refuse_existing(context.root.joinpath(*step.output))


def _look(step: ExportStep, context: Context) -> None:
    from export.config import HUGGINGFACE

    named = step.source not in ("last_run", "best_trial") and not step.source.startswith(HUGGINGFACE)
    if named and not (context.root / step.source).exists():
        raise CheckpointError(f"{context.root / step.source}: no such run folder or checkpoint")


EXPORT = Step(_export_step, _export, preflight=_check_output, look=_look)
