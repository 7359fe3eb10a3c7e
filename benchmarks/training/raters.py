"""``python -m benchmarks.training.raters DATA``: learning from raters beside learning from their majority.

Three raters of each recording are simulated: a recording is as hard as a draw from a beta distribution says, each rater
errs by that, mostly to the label of like arousal. The same folds, seeds and settings then learn the raters'
distributions, the majority's labels, and these with label smoothing.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

RATERS = 3
_HARD = (1.0, 2.0)
"""Parameters of the beta distribution of how hard a recording is: mean 1/3."""
_ERRS = 0.75
"""Share of errors about the hardest recording."""
_LIKE = 0.7
"""Share of the errors that are the label of like arousal."""
_LIKENESS = {"anger": "happiness", "happiness": "anger", "neutral": "sadness", "sadness": "neutral"}
"""The label of like arousal."""
RECIPE = Path("configs/recipes/small_corpus_offline.json")
CHANGES = {"augmentation": {"copies": 0}, "max_epoch": 40}
"""Of the recipe, so that many trainings are quick: recordings as they are, and as many steps."""
SPLIT = {"val": 0.25}
"""Two or three of the speakers that train, who fit the temperature."""
MODELS: dict[str, dict[str, Any]] = {
    "raters": {"soft_labels": True, "label_smoothing": 0.0},
    "majority": {"soft_labels": False, "label_smoothing": 0.0},
    "majority, smoothing 0.1": {"soft_labels": False, "label_smoothing": 0.1},
}
FIGURES = {
    "UAR": ("uar",),
    "KL": ("calibration", "raters", "kl_before"),
    "KL, calibrated": ("calibration", "raters", "kl_after"),
    "JS, calibrated": ("calibration", "raters", "js_after"),
    "ECE": ("calibration", "ece_before"),
    "ECE, calibrated": ("calibration", "ece_after"),
    "ECE of the majority, calibrated": ("calibration", "raters", "ece_of_majority_after"),
}


def simulated(data: Path, folder: Path, seed: int) -> Path:
    """Write a table with one row a simulated rater of each recording of a dataset; its path.

    Args:
        data: the dataset; its speakers are in a column.
        folder: folder of the table.
        seed: of the draws.
    """
    from training.config.dataset import DatasetConfig
    from training.data.clips import read_clips
    from training.data.label_matching import shared_labels

    table, random = read_clips(DatasetConfig(path=str(data.resolve())), data.resolve()), np.random.default_rng(seed)
    labels = table.labels(table.targets[0])
    meaning = shared_labels({"like": [*_LIKENESS], "data": labels})["data"]
    like = {label: other for label, noun in meaning.items() for other in meaning if meaning[other] == _LIKENESS[noun]}
    lines = ["file,speaker,emotion,rater"]
    for clip in table.clips:
        wrong = _ERRS * random.beta(*_HARD)
        for rater in range(RATERS):
            label = _given(clip.labels[table.targets[0]], like, wrong, random)
            lines.append(f"{clip.file},{clip.speaker},{label},rater {rater + 1}")
    path = folder / f"raters_{seed}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _given(label: str, like: dict[str, str], wrong: float, random: np.random.Generator) -> str:
    """What a rater calls a recording of a label."""
    if random.random() >= wrong:
        return label
    return like[label] if random.random() < _LIKE else str(random.choice([each for each in like if each != label]))


def measured(table: Path, learn: dict[str, Any], output: Path, folds: int, seed: int) -> dict[str, Any]:
    """The report of folds of the recipe, without altered copies and with other ``learn_params``, of its only target.

    Args:
        table: of raters.
        learn: what differs.
        output: folder of the report.
        folds: how many.
        seed: of the training.
    """
    from emotions.pipeline.runner import Context
    from training.config.evaluate import EvaluateStep
    from training.evaluation.cross_validate import cross_validate

    step = json.loads(RECIPE.read_text())["pipeline"][0]
    known = {key: step[key] for key in ("model", "model_architecture")}
    dataset = {"path": str(table), "targets": {"emotion": {"raters": "rater"}}, "split": SPLIT}
    own = {"protocol": "group_kfold", "folds": folds, "seeds": [seed], "jobs": 1, "output": [str(output)]}
    changed = {**step["learn_params"], **CHANGES, **learn}
    evaluate = EvaluateStep.model_validate(
        {**known, **own, "dataset": dataset, "learn_params": changed, "accelerator": "cpu"}
    )
    cross_validate(evaluate, Context(Path.cwd(), seed=seed, workers=0, config={}, quiet=True))
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    return {**report["targets"]["emotion"], "agreement": report["raters"]["emotion"]}


def _figure(found: dict[str, Any], path: tuple[str, ...]) -> float:
    value: Any = found
    for key in path:
        value = value[key]
    return float(value)


def main(
    data: Annotated[Path, typer.Argument(help="Dataset with labels, such as EmoDB's four emotions.")],
    draws: Annotated[int, typer.Option(min=1, help="How often raters are simulated, each time trained on anew.")] = 3,
    folds: Annotated[int, typer.Option(min=2, help="Folds of whole speakers.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 1,
) -> None:
    """Print the figures of each model, means over the draws of raters, and in how many draws raters win."""
    import torch

    torch.set_num_threads(threads)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in MODELS}
    with tempfile.TemporaryDirectory() as folder:
        for draw in range(draws):
            table = simulated(data, Path(folder), draw)
            for number, (name, learn) in enumerate(MODELS.items()):
                found[name].append(measured(table, learn, Path(folder) / f"{draw}-{number}", folds, draw))
    agreement = found["raters"][0]["agreement"]
    typer.echo(
        f"alpha {agreement['alpha']:.3f}, alike {agreement['unanimous']:.0%}, ties {agreement['ties']}, first draw"
    )
    typer.echo("| learnt from | " + " | ".join(FIGURES) + " |\n| --- |" + " --- |" * len(FIGURES))
    for name, reports in found.items():
        means = (np.mean([_figure(each, path) for each in reports]) for path in FIGURES.values())
        typer.echo(f"| {name} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
    for title, path in FIGURES.items():
        for name in [*MODELS][1:]:
            pairs = zip(found["raters"], found[name], strict=True)
            lower = sum(_figure(one, path) < _figure(two, path) for one, two in pairs)
            typer.echo(f"{title}: raters lower than {name} in {lower} of {draws} draws")


if __name__ == "__main__":
    typer.run(main)
