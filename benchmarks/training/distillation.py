"""``python -m benchmarks.training.distillation DATA``: small students with and without a teacher.

In each fold of whole speakers the teacher is the recipe for small corpora, trained on all speakers of the fold. Each
student learns from the labels of these speakers, or of a few of them, alone and with the teacher, which also answers
the recordings of the others, whose labels the student never sees. All are asked about the speakers left out.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

RECIPE = Path("configs/recipes/small_corpus.json")
FEW = 4
"""Speakers whose labels a student has where it has few."""
SPLIT = {"val": 0.1, "test": 0}
"""One of the speakers fits the temperature."""
TEACHER = {"augmentation": {"copies": 0}, "max_epoch": 40}
"""What the teacher learns by apart from the recipe: recordings as they are, and as many steps."""
TARGET = "emotion"
_RECIPES_OWN = {"lr": {"base_lr": 0.001}, "batch_size": 16, "padding_sec": 5, "keep": "last", "label_smoothing": 0.1}
STUDENTS: dict[str, dict[str, Any]] = {
    "statistics, one network of 32": {
        "model": "FunctionalsClassifier",
        "model_architecture": {"members": 1, "layer_1_size": 32, "input_dropout": 0.5, "dropout": 0.3},
        "learn_params": {**_RECIPES_OWN, "max_epoch": 40},
    },
    "a small CNN": {
        "model": "SpectrogramCnnClassifier",
        "model_architecture": {"backbone": "mobilenetv3_small_050"},
        "learn_params": {**_RECIPES_OWN, "spectrogram_size": 64, "max_epoch": 30},
    },
}


class Lesson(NamedTuple):
    """What a student learns from: labels of all speakers or of few, the teacher, recordings without labels."""

    labels: str
    teacher: bool
    unlabelled: bool


LESSONS = {
    "labels of all": Lesson("all", teacher=False, unlabelled=False),
    "labels of all, teacher": Lesson("all", teacher=True, unlabelled=False),
    "labels of few": Lesson("few", teacher=False, unlabelled=False),
    "labels of few, teacher": Lesson("few", teacher=True, unlabelled=False),
    "labels of few, teacher, the others unlabelled": Lesson("few", teacher=True, unlabelled=True),
}


class Row(NamedTuple):
    """A recording: its path, label and speaker."""

    file: str
    label: str
    speaker: str


def rows_of(data: Path) -> list[Row]:
    """The recordings of a dataset, by its first target."""
    from training.config.dataset import DatasetConfig
    from training.data.clips import read_clips

    table = read_clips(DatasetConfig(path=str(data.resolve())), data.resolve())
    target = table.targets[0]
    return [Row(str(clip.file), clip.labels[target], clip.speaker or "") for clip in table.clips]


def folds_of(speakers: Iterable[str], folds: int, seed: int) -> list[list[str]]:
    """Speakers that are left out, fold by fold."""
    known = sorted(speakers)
    mixed = [known[at] for at in np.random.default_rng(seed).permutation(len(known))]
    return [mixed[number::folds] for number in range(folds)]


def trained(folder: Path, step: Mapping[str, Any], dataset: Mapping[str, Any], seed: int) -> Path:
    """Train and export a model; its bundle.

    Args:
        folder: what is written goes there.
        step: the ``train`` step without its dataset.
        dataset: the dataset.
        seed: of the training.
    """
    from emotions.pipeline.runner import check_pipeline, run_pipeline

    place = {"saved_checkpoints_path": [str(folder / "run")]}
    known = {"type": "train", "dataset": {**dataset, "split": SPLIT}, "saving_data_params": place}
    export = {"type": "export", "name": "model", "output": str(folder / "bundle")}
    steps = {"pipeline": [{**step, **known}, export], "load_dataset_workers_num": 0, "seed": seed}
    run_pipeline(check_pipeline(steps, "distillation", root=folder))
    return folder / "bundle"


def write_table(path: Path, rows: Iterable[Row], *, labels: bool = True) -> str:
    """Write a dataset as a table, with or without its labels; its path."""
    lines = [f"file,speaker,{TARGET}" if labels else "file,speaker"]
    lines += [f"{row.file},{row.speaker},{row.label}" if labels else f"{row.file},{row.speaker}" for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def answers(bundle: Path, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """True and given label of each recording."""
    import emotions

    predictor = emotions.load(bundle, device="cpu", variant="fp32", threads=1)
    return [(row.label, predictor.predict(Path(row.file)).label) for row in rows]


def uar(pairs: Sequence[tuple[str, str]]) -> float:
    """Unweighted average recall of pairs of true and given labels."""
    labels = sorted({true for true, _ in pairs})
    return float(np.mean([np.mean([given == true for true, given in pairs if true == label]) for label in labels]))


def measured(data: Path, folds: int, seed: int, students: Sequence[str], folder: Path) -> dict[str, Any]:
    """UAR of the teacher and of each student by what it learnt from; bundles of the last fold."""
    rows = rows_of(data)
    pairs: dict[str, list[tuple[str, str]]] = {}
    bundles: dict[str, Path] = {}
    teacher_step = json.loads(RECIPE.read_text(encoding="utf-8"))["pipeline"][0]
    learn = {**teacher_step["learn_params"], **TEACHER}
    for number, heard in enumerate(folds_of({row.speaker for row in rows}, folds, seed)):
        place = folder / f"{seed}-{number}"
        test = [row for row in rows if row.speaker in heard]
        train = [row for row in rows if row.speaker not in heard]
        few = sorted({row.speaker for row in train})[:FEW]
        tables = {
            "all": write_table(place / "all.csv", train),
            "few": write_table(place / "few.csv", [row for row in train if row.speaker in few]),
        }
        others = [row for row in train if row.speaker not in few]
        unlabelled = write_table(place / "unlabelled.csv", others, labels=False)
        bundles["teacher"] = trained(
            place / "teacher", {**teacher_step, "learn_params": learn}, {"path": tables["all"]}, seed
        )
        pairs.setdefault("teacher", []).extend(answers(bundles["teacher"], test))
        for student in students:
            for title, lesson in LESSONS.items():
                dataset = {"path": tables[lesson.labels], **({"unlabelled": unlabelled} if lesson.unlabelled else {})}
                taught = {"teacher": str(bundles["teacher"])} if lesson.teacher else {}
                key = f"{student}: {title}"
                own = place / f"{[*STUDENTS].index(student)}-{[*LESSONS].index(title)}"
                bundles[key] = trained(own, {**STUDENTS[student], **taught}, dataset, seed)
                pairs.setdefault(key, []).extend(answers(bundles[key], test))
    return {"uar": {key: uar(each) for key, each in pairs.items()}, "bundles": bundles}


def clips_per_sec(bundles: Mapping[str, Path], files: Sequence[str], rounds: int = 3) -> dict[str, float]:
    """Recordings a second of a folder run of each bundle on one thread, decoding included; medians of turns."""
    import emotions

    loaded = {key: emotions.load(path, device="cpu", variant="fp32", threads=1) for key, path in bundles.items()}
    seconds: dict[str, list[float]] = {key: [] for key in loaded}
    for _ in range(rounds):
        for key, predictor in loaded.items():
            started = time.perf_counter()
            for _ in predictor.predict_folder(*files):
                pass
            seconds[key].append(time.perf_counter() - started)
    return {key: len(files) / median(each) for key, each in seconds.items()}


def main(
    data: Annotated[Path, typer.Argument(help="Dataset with labels and speakers; its first target is learnt.")],
    seeds: Annotated[int, typer.Option(min=1, help="How often all is trained anew, on other folds.")] = 3,
    folds: Annotated[int, typer.Option(min=2, help="Folds of whole speakers.")] = 5,
    student: Annotated[list[str] | None, typer.Option(help="Which students; all by default.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 1,
) -> None:
    """Print the UAR of the teacher and of each student, means over seeds and each seed's, and recordings a second."""
    import torch

    torch.set_num_threads(threads)
    students = student or [*STUDENTS]
    with tempfile.TemporaryDirectory() as folder:
        reports = [measured(data, folds, seed, students, Path(folder)) for seed in range(seeds)]
        last = "labels of few, teacher, the others unlabelled"
        kept = {key: reports[-1]["bundles"][key] for key in ("teacher", *(f"{each}: {last}" for each in students))}
        speeds = clips_per_sec(kept, [row.file for row in rows_of(data)][:60])
    typer.echo("| model | UAR, mean | by seed | clips/s |\n| --- | --- | --- | --- |")
    for key in reports[0]["uar"]:
        found = [report["uar"][key] for report in reports]
        speed = next((value for name, value in speeds.items() if name.split(":")[0] == key.split(":")[0]), 0.0)
        each = ", ".join(f"{value:.3f}" for value in found)
        typer.echo(f"| {key} | {np.mean(found):.3f} | {each} | {speed:.0f} |")


if __name__ == "__main__":
    typer.run(main)
