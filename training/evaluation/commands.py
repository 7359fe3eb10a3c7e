"""``emotions evaluate``: a model by a protocol, or a bundle on a dataset. Heavy imports are inside functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from emotions.errors import ConfigError, Fault
from emotions.pipeline.interruption import keeping, stoppable
from emotions.pipeline.options import Overrides, Root
from emotions.pipeline.runner import Context, Pipeline, Step, load_pipeline
from training.data.initial_config.commands import initial_pipeline

if TYPE_CHECKING:
    from training.config.evaluate import EvaluateStep
    from training.config.train import FixedStep

Output = Annotated[Path | None, typer.Option("--output", metavar="DIR", help="Folder of the report.")]
Data = Annotated[
    list[Path] | None,
    typer.Option(
        "--data", metavar="PATH", help="Folder or file of the dataset; of cross_corpus several, each by itself."
    ),
]


def evaluate(  # noqa: PLR0913, PLR0917 - options of a command line
    config_file: Annotated[
        Path | None,
        typer.Option("--config-file", metavar="FILE", help="Pipeline file: its first evaluate or train step."),
    ] = None,
    data: Data = None,
    protocol: Annotated[str | None, typer.Option(help="holdout, group_kfold, loso or cross_corpus.")] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Folds of group_kfold, and inside each corpus.")] = None,
    output: Output = None,
    bundle: Annotated[Path | None, typer.Option(metavar="B", help="Bundle to measure as it is; with --data.")] = None,
    suite: Annotated[str, typer.Option(help="With --bundle: accuracy, robustness or fairness.")] = "accuracy",
    names: Annotated[
        bool, typer.Option("--names", help="Name and play the recordings that are most wrong and most sure.")
    ] = False,
    overrides: Overrides = None,
    root: Root = None,
) -> None:
    """Measure a model fold by fold on speakers that it was not trained on, or a bundle on a dataset."""
    several = protocol == "cross_corpus"
    if bundle is None and config_file is None and not (several and data):
        raise ConfigError(
            "say what to evaluate: --config-file FILE (trains folds), --bundle B --data D, or --protocol cross_corpus "
            "with --data for each corpus"
        )
    with stoppable():
        if bundle is not None:
            with keeping(lambda: "nothing is kept of a suite, which is measured as a whole"):
                where = Path.cwd() if root is None else root
                _evaluate_bundle(bundle, _only(data), suite, output, config_file, where, names=names)
        else:
            shown = {"output": str(output) if output else None, "names": names or None}
            changes = {"protocol": protocol, "folds": folds, **shown}
            _evaluate_folds(config_file, changes, data or (), overrides or (), root)


def _only(data: Sequence[Path] | None) -> Path | None:
    """The only dataset of a command that takes one."""
    if data and len(data) > 1:
        raise ConfigError("--data: names several datasets, which only --protocol cross_corpus takes; name one")
    return data[0] if data else None


def _evaluate_folds(
    config_file: Path | None, changes: dict[str, Any], data: Sequence[Path], overrides: Sequence[str], root: Path | None
) -> None:
    """Measure the model of a pipeline file by a protocol, or that of a first training across corpora."""
    given = {key: value for key, value in changes.items() if value is not None}
    if config_file is None:
        pipelines = [initial_pipeline(each, overrides, root) for each in data]
        given["corpora"] = [
            step.dataset.model_dump(exclude_unset=True) for each in pipelines for step in _trained(each)
        ]
        pipeline, step = pipelines[0], _step(pipelines[0], data[0], given, ())
    else:
        pipeline = load_pipeline(config_file, overrides, root)
        step = _step(pipeline, config_file, given, data)
    context = Context(pipeline.root, pipeline.seed, pipeline.workers, pipeline.document)
    EVALUATE.run(step, context)


def _trained(pipeline: Pipeline) -> list[FixedStep]:
    """The steps that train, the ``evaluate`` ones first."""
    from training.config.evaluate import EvaluateStep
    from training.config.train import FixedStep

    found = [planned.config for planned in pipeline.steps if isinstance(planned.config, FixedStep)]
    return sorted(found, key=lambda config: not isinstance(config, EvaluateStep))


def _step(pipeline: Pipeline, path: Path, changes: dict[str, Any], data: Sequence[Path]) -> EvaluateStep:
    """The file's first ``evaluate`` step, or its first ``train`` step as one, with the options of the command."""
    from pydantic import TypeAdapter

    from training.config.evaluate import MAX_CORPORA, EvaluateStep, Protocol

    found = _trained(pipeline)
    if not found:
        raise ConfigError(f"{path}: has no evaluate or train step to evaluate")
    known = found[0].model_dump(include={*EvaluateStep.model_fields} - {"type"}, exclude_unset=True)
    protocol = changes.get("protocol", known.get("protocol", "group_kfold"))
    if protocol not in get_args(Protocol):
        raise ConfigError(f"--protocol: found {protocol}; it is holdout, group_kfold, loso or cross_corpus")
    if protocol == "cross_corpus":
        known |= {"corpora": [{"path": str(each.absolute())} for each in data]} if data else {}
    elif (only := _only(data)) is not None:
        known["dataset"] = {**known.get("dataset", {}), "path": str(only.absolute())}
    known |= changes
    corpora = len(known.get("corpora") or ())
    if protocol == "cross_corpus" and not 2 <= corpora <= MAX_CORPORA:
        raise ConfigError(
            f"cross_corpus takes 2 to {MAX_CORPORA} corpora, each by --data PATH or in corpora; there are {corpora}"
        )
    return TypeAdapter(EvaluateStep).validate_python(known)


def _evaluate_bundle(
    bundle: Path,
    data: Path | None,
    suite: str,
    output: Path | None,
    config_file: Path | None,
    root: Path,
    *,
    names: bool,
) -> None:
    """Run a suite; exit with 1 where a test fails."""
    from training.config.dataset import DatasetConfig
    from training.config.evaluate import Suite

    if suite not in get_args(Suite):
        raise ConfigError(f"--suite: found {suite}; it is accuracy, robustness or fairness")
    dataset = DatasetConfig()
    if config_file is not None:
        dataset = _step(load_pipeline(config_file, (), root), config_file, {}, ()).dataset
    if data is None and dataset.path is None:
        raise ConfigError("--bundle needs --data, the recordings to measure it on")
    if data is not None:
        dataset = dataset.model_copy(update={"path": str(data.absolute())})
    from emotions.predictor import load
    from training.evaluation.suites.suites import run_suite

    where = output or root / "reports" / f"{suite}-{bundle.name}"
    if not run_suite(load(bundle), dataset, root, suite, where, names=names):  # type: ignore[arg-type]
        raise typer.Exit(1)


def _evaluate_step() -> Any:
    from training.config.evaluate import EvaluateStep

    return EvaluateStep


def _evaluate_faults(raw: dict[str, Any]) -> list[Fault]:
    from training.config.evaluate import evaluate_faults

    return evaluate_faults(raw)


def _evaluate(step: EvaluateStep, context: Context) -> None:
    if step.protocol == "cross_corpus":
        from training.evaluation.cross_corpus.cross_corpus import cross_corpus

        context.last_evaluation = cross_corpus(step, context)
        return
    from training.evaluation.cross_validate import cross_validate

    context.last_evaluation = cross_validate(step, context)


def _look(step: EvaluateStep, context: Context) -> None:
    from training.data.clips import read_clips
    from training.features.teacher.teacher import look_at_teacher

    if step.protocol == "cross_corpus":
        for dataset in step.datasets():
            read_clips(dataset, context.root)
        return
    table = read_clips(step.dataset, context.root)
    look_at_teacher(step, context.root, table)


EVALUATE = Step(_evaluate_step, _evaluate, _evaluate_faults, look=_look)
