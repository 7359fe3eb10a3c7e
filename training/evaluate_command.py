"""``emotions evaluate``: a model by a protocol, or a bundle on a dataset. What is heavy is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from emotions.errors import ConfigError
from emotions.options import Overrides, Root
from emotions.pipeline import Context, Pipeline, Step, load_pipeline
from training.config import FixedStep, train_faults
from training.evaluate_config import EvaluateStep

Output = Annotated[Path | None, typer.Option("--output", metavar="DIR", help="Folder of the report.")]
Data = Annotated[Path | None, typer.Option("--data", metavar="PATH", help="Folder or file of the dataset.")]


def evaluate(
    config_file: Annotated[
        Path | None,
        typer.Option("--config-file", metavar="FILE", help="Pipeline file: its first evaluate or train step."),
    ] = None,
    data: Data = None,
    protocol: Annotated[str | None, typer.Option(help="holdout, group_kfold or loso.")] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Folds of group_kfold.")] = None,
    output: Output = None,
    overrides: Overrides = None,
    root: Root = None,
) -> None:
    """Measure a model fold by fold on speakers that it was not trained on."""
    if config_file is None:
        raise ConfigError("emotions evaluate needs --config-file, to train and measure a model")
    pipeline = load_pipeline(config_file, overrides or (), root)
    changes: dict[str, Any] = {"protocol": protocol, "folds": folds, "output": str(output) if output else None}
    step = _step(pipeline, config_file, {key: value for key, value in changes.items() if value is not None}, data)
    context = Context(pipeline.root, pipeline.seed, pipeline.workers, pipeline.document)
    EVALUATE.run(step, context)


def _step(pipeline: Pipeline, path: Path, changes: dict[str, Any], data: Path | None) -> EvaluateStep:
    """The file's first ``evaluate`` step, else its first ``train`` step made one, with a command's own changes."""
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


def _evaluate(step: EvaluateStep, context: Context) -> None:
    from training.evaluation.crossvalidation import cross_validate

    context.last_evaluation = cross_validate(step, context)


EVALUATE = Step(EvaluateStep, _evaluate, train_faults)
