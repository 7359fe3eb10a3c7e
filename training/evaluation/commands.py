"""``emotions evaluate``: a model by a protocol, or a bundle on a dataset. Heavy imports are inside functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from emotions.errors import ConfigError
from emotions.pipeline.interruption import keeping, stoppable
from emotions.pipeline.options import Overrides, Root
from emotions.pipeline.runner import Context, Pipeline, Step, load_pipeline
from training.config.dataset import DatasetConfig
from training.config.evaluate import EvaluateStep, Suite, evaluate_faults
from training.config.train import FixedStep

Output = Annotated[Path | None, typer.Option("--output", metavar="DIR", help="Folder of the report.")]
Data = Annotated[Path | None, typer.Option("--data", metavar="PATH", help="Folder or file of the dataset.")]


def evaluate(  # noqa: PLR0913, PLR0917 - options of a command line
    config_file: Annotated[
        Path | None,
        typer.Option("--config-file", metavar="FILE", help="Pipeline file: its first evaluate or train step."),
    ] = None,
    data: Data = None,
    protocol: Annotated[str | None, typer.Option(help="holdout, group_kfold or loso.")] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Folds of group_kfold.")] = None,
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
    if bundle is None and config_file is None:
        raise ConfigError("say what to evaluate: --config-file FILE (trains folds), or --bundle B --data D")
    with stoppable():
        if bundle is not None:
            with keeping(lambda: "nothing is kept of a suite, which is measured as a whole"):
                where = Path.cwd() if root is None else root
                _evaluate_bundle(bundle, data, suite, output, config_file, where, names=names)
        elif config_file is not None:
            shown = {"output": str(output) if output else None, "names": names or None}
            changes = {"protocol": protocol, "folds": folds, **shown}
            _evaluate_folds(config_file, changes, data, overrides or (), root)


def _evaluate_folds(
    config_file: Path, changes: dict[str, Any], data: Path | None, overrides: Sequence[str], root: Path | None
) -> None:
    """Measure the model of a pipeline file by a protocol."""
    pipeline = load_pipeline(config_file, overrides, root)
    step = _step(pipeline, config_file, {key: value for key, value in changes.items() if value is not None}, data)
    context = Context(pipeline.root, pipeline.seed, pipeline.workers, pipeline.document)
    EVALUATE.run(step, context)


def _step(pipeline: Pipeline, path: Path, changes: dict[str, Any], data: Path | None) -> EvaluateStep:
    """The file's first ``evaluate`` step, or its first ``train`` step as one, with the options of the command."""
    from pydantic import TypeAdapter

    found = [planned.config for planned in pipeline.steps if isinstance(planned.config, FixedStep)]
    found.sort(key=lambda config: not isinstance(config, EvaluateStep))
    if not found:
        raise ConfigError(f"{path}: has no evaluate or train step to evaluate")
    known = found[0].model_dump(include={*EvaluateStep.model_fields} - {"type"}, exclude_unset=True)
    if data is not None:
        known["dataset"] = {**known.get("dataset", {}), "path": str(data.absolute())}
    if changes.get("protocol", "loso") not in ("holdout", "group_kfold", "loso"):
        raise ConfigError(f"--protocol: found {changes['protocol']}; it is holdout, group_kfold or loso")
    return TypeAdapter(EvaluateStep).validate_python({**known, **changes})


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
    if suite not in get_args(Suite):
        raise ConfigError(f"--suite: found {suite}; it is accuracy, robustness or fairness")
    dataset = DatasetConfig()
    if config_file is not None:
        dataset = _step(load_pipeline(config_file, (), root), config_file, {}, None).dataset
    if data is None and dataset.path is None:
        raise ConfigError("--bundle needs --data, the recordings to measure it on")
    if data is not None:
        dataset = dataset.model_copy(update={"path": str(data.absolute())})
    from emotions.predictor import load
    from training.evaluation.suites.suites import run_suite

    where = output or root / "reports" / f"{suite}-{bundle.name}"
    if not run_suite(load(bundle), dataset, root, suite, where, names=names):  # type: ignore[arg-type]
        raise typer.Exit(1)


def _evaluate(step: EvaluateStep, context: Context) -> None:
    from training.evaluation.cross_validate import cross_validate

    context.last_evaluation = cross_validate(step, context)


def _look(step: EvaluateStep, context: Context) -> None:
    from training.data.clips import read_clips
    from training.features.teacher.teacher import look_at_teacher

    table = read_clips(step.dataset, context.root)
    look_at_teacher(step, context.root, table)


EVALUATE = Step(EvaluateStep, _evaluate, evaluate_faults, look=_look)
