"""Write the files of a run folder, and print the summary of the run.

config.json   the pipeline as it was run        run.json       index: checkpoints, metrics, protocol, dataset facts
model.json    how the model is built            metrics.json   scores per part and target, and the history
split.json    which clip was in which part      confusion_matrix.png, values.png, curves.png
report.html   what a person reads first
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import emotions
from emotions.audio.windows import FloatArray
from emotions.errors import plain
from emotions.files.atomic import write_bytes
from emotions.files.from_here import from_here
from emotions.files.json_text import write_json
from emotions.pipeline.energy.energy import in_full
from emotions.pipeline.next_command import next_command
from emotions.pipeline.runner import Context
from training.config.train import TrainStep
from training.corpus import Corpus
from training.features.teacher.teacher import EXTRA as TEACHER
from training.metrics.agreement import agreement, agreement_line
from training.metrics.classification import Scores
from training.metrics.plots import draw_confusion, draw_curves
from training.metrics.value_plots import draw_values
from training.run_folder.energy import energy_of_run
from training.run_folder.layout import (
    CONFUSION_PICTURE,
    CURVES_PICTURE,
    LAST,
    REPORT_PAGE,
    RUN_FILE,
    SPLIT_FILE,
    VALUES_PICTURE,
)
from training.run_folder.read import RUN_FORMAT
from training.run_folder.report import run_page


@dataclass(frozen=True)
class Result:
    """Result of a run.

    Attributes:
        best: file name of the best checkpoint.
        best_epoch, steps: its epoch, from 0, and its optimiser steps.
        history: metric name -> value after each epoch.
        metrics: part (``validation``, ``test``) -> target -> scores of the best checkpoint.
        values: target of dimensions -> truth and answers on the part that is reported, (clips, dimensions) each, NaN
            where the truth is not known.
        errors: target -> rows of ``surest_errors`` on the part that is reported; nothing where it was not measured.
    """

    best: str
    best_epoch: int
    steps: int
    history: Mapping[str, list[float | None]]
    metrics: dict[str, dict[str, Scores]]
    errors: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    values: dict[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)

    @property
    def part(self) -> str:
        """The part that is reported: the test part where there is one."""
        return "test" if self.metrics.get("test") else "validation"


def write_run(
    folder: Path, step: TrainStep, context: Context, corpus: Corpus, result: Result, extra: Mapping[str, Any]
) -> None:
    """Write everything but checkpoints and logs, the index last.

    Args:
        folder: the run folder.
        step: the ``train`` step.
        context: root, seed and resolved config.
        corpus: the data and the model's spec.
        result: result of the run.
        extra: more entries of the index.
    """
    protocol = corpus.split.protocol
    write_json(folder / "config.json", context.config)
    write_json(folder / "model.json", corpus.spec.model_dump(mode="json"))
    write_json(folder / SPLIT_FILE, _split(corpus))
    figures = {"protocol": protocol, "best_epoch": result.best_epoch + 1, **result.metrics}
    write_json(folder / "metrics.json", {**figures, "history": dict(result.history)})
    title = f"{result.part} set, {protocol}"
    labelled = {target: scores for target, scores in result.metrics[result.part].items() if "confusion" in scores}
    if labelled:
        draw_confusion(folder / CONFUSION_PICTURE, labelled, title)
    if result.values:
        draw_values(folder / VALUES_PICTURE, result.values, corpus.spec, title)
    draw_curves(folder / CURVES_PICTURE, result.history, result.best_epoch)
    index = {**_index(step, context, corpus, result), **extra}
    speakers = _speakers(corpus, result.part)
    page = run_page(index, result.history, result.part, corpus.table.root.name, speakers, result.errors)
    write_bytes(folder / REPORT_PAGE, page.encode())
    write_json(folder / RUN_FILE, index)


def _speakers(corpus: Corpus, part: str) -> int | None:
    """How many speakers a part has; None where one is not known."""
    clips = corpus.split.test if part == "test" else corpus.split.val or corpus.split.train
    speakers = {corpus.table.clips[clip].speaker for clip in clips}
    return None if None in speakers else len(speakers)


def _split(corpus: Corpus) -> dict[str, Any]:
    split, clips = corpus.split, corpus.table.clips
    parts = {part: [clips[clip].identity for clip in getattr(split, part)] for part in ("train", "val", "test")}
    return {"by": split.by, "protocol": split.protocol, "sha256": split.sha256, **parts}


def _index(step: TrainStep, context: Context, corpus: Corpus, result: Result) -> dict[str, Any]:
    return {
        "format": RUN_FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "toolkit_version": emotions.__version__,
        "name": step.name,
        "model": corpus.spec.model,
        "seed": context.seed,
        "checkpoints": {"best": result.best, "last": f"{LAST}.ckpt"},
        "best_epoch": result.best_epoch + 1,
        "steps": result.steps,
        "protocol": corpus.split.protocol,
        "pooling": "coverage",
        "metrics": result.metrics,
        "dataset": corpus.summary(),
        **({} if corpus.teacher is None else {TEACHER: corpus.teacher.summary()}),
        "dataset_config": step.dataset.model_dump(mode="json"),
        "root": str(context.root),
    }


def print_summary(folder: Path, step: TrainStep, context: Context, corpus: Corpus, result: Result) -> None:
    """Print the scores per part and target, the protocol and the paths to stdout.

    Args:
        folder: the run folder.
        step: the ``train`` step.
        context: its root is where a relative TensorBoard folder starts.
        corpus: the data and the model's spec.
        result: result of the run.
    """
    _print_dimensions(result)
    table = Table(title=f"{corpus.spec.model}, best epoch {result.best_epoch + 1}", title_justify="left")
    for heading in ("part", "target"):
        table.add_column(heading)
    for heading in ("UAR", "WA", "macro-F1", "clips"):
        table.add_column(heading, justify="right")
    for part, targets in result.metrics.items():
        for target, scores in targets.items():
            if "uar" not in scores:
                continue
            figures = [f"{scores[name]:.3f}" for name in ("uar", "wa", "macro_f1")]
            table.add_row(part, target, *figures, str(scores["clips"]))
    console = Console()
    if table.rows:
        console.print(table)
    console.print(f"protocol: {corpus.split.protocol}", markup=False, highlight=False)
    for target in corpus.table.soft:
        told = plain(agreement_line(target, agreement(corpus.table, target)))
        console.print(told, markup=False, highlight=False, soft_wrap=True)
    energy = energy_of_run(folder)
    parts = step.saving_data_params.tensorboard_lr_monitors_logs_path
    logs = folder / "logs" if parts is None else context.root.joinpath(*parts)
    for name, value in (
        *([] if energy is None else [("energy", in_full(energy))]),
        ("report", from_here(folder / REPORT_PAGE)),
        ("run folder", from_here(folder)),
        ("best checkpoint", from_here(folder / result.best)),
        ("TensorBoard logs", from_here(logs)),
    ):
        console.print(f"{name}: {value}", markup=False, highlight=False, soft_wrap=True)
    if context.is_last:
        console.print(next_command("export", "--run", folder), markup=False, highlight=False, soft_wrap=True)


def _print_dimensions(result: Result) -> None:
    """Print a row for each part and dimension, where there are any."""
    table = Table(title="Dimensions, 95 % intervals over speakers", title_justify="left")
    for heading in ("part", "dimension"):
        table.add_column(heading)
    for heading in ("CCC", "interval", "Pearson", "RMSE", "MAE", "clips"):
        table.add_column(heading, justify="right")
    for part, targets in result.metrics.items():
        for target, scores in targets.items():
            for name, row in scores.get("dimensions", {}).items():
                bounds = row.get("ccc_ci")
                interval = "-" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"
                others = [f"{row[metric]:.3f}" for metric in ("pearson", "rmse", "mae")]
                table.add_row(part, f"{target}.{name}", f"{row['ccc']:.3f}", interval, *others, str(row["clips"]))
    if table.rows:
        Console().print(table)
