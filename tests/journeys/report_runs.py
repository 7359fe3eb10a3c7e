"""Small real runs of each command that writes a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emotions.files.json_text import write_json
from tests.commands import finished
from training.data.demo import make_affect_corpus, make_demo_corpus

SIZE = {"speakers": 6, "takes": 4}

MODEL = {
    "model": "FunctionalsClassifier",
    "model_architecture": {"layer_1_size": 16, "members": 1},
    "learn_params": {"lr": {"base_lr": 0.002}, "batch_size": 16, "padding_sec": 2, "max_epoch": 3},
    "dataset": {"path": "data", "speaker": {"pattern": "^[^/]+/[^_]+_([^_]+)_"}},
}


def emotions(folder: Path, *arguments: str, codes: tuple[int, ...] = (0,)) -> None:
    done = finished(*arguments, cwd=folder)
    assert done.returncode in codes, done.stdout[-3000:] + done.stderr[-3000:]


def pipeline(folder: Path, name: str, *steps: dict[str, Any]) -> None:
    write_json(folder / f"{name}.json", {"pipeline": list(steps), "seed": 0, "load_dataset_workers_num": 0})
    emotions(folder, "train", "--config-file", f"{name}.json", "--root", ".")


def make_reports(folder: Path) -> Path:
    """Run each command that writes a report, in a folder of its own."""
    make_demo_corpus(folder / "data", **SIZE)
    learn: dict[str, Any] = dict(MODEL["learn_params"])  # type: ignore[call-overload]
    saving = {"saved_checkpoints_path": ["$$ROOT_DIR$$", "train"]}
    train = {"type": "train", **MODEL, "saving_data_params": saving}
    pipeline(folder, "train", train, {"type": "export", "output": "bundle"})
    measure = {"type": "evaluate", "protocol": "group_kfold", "folds": 2, "names": True}
    short = {**MODEL, "learn_params": {**learn, "padding_sec": 0.3}}  # so that a recording has several windows
    pipeline(folder, "evaluate", {**measure, **short, "output": ["$$ROOT_DIR$$", "evaluate"]})
    places = {"tune_results_path": ["$$ROOT_DIR$$"], "tune_results_dir": ["tune"], "tune_session_path": ["tmp"]}
    searched = {**learn, "max_epoch": 1, "lr": {"base_lr": {"loguniform": [1e-4, 1e-2]}}}
    settings = {"num_samples": 2, "max_tune_epochs": 1, "target_metric_name": "val/emotion_uar", "cpus_per_trial": 1}
    search = {"type": "tune", **MODEL, "learn_params": searched, "saving_data_params": places, "tune": settings}
    pipeline(folder, "tune", search)
    suite = ["--bundle", "bundle", "--data", "data", "--suite", "robustness", "--output", "suite"]
    emotions(folder, "evaluate", *suite, codes=(0, 1))
    emotions(folder, "benchmark", "--bundle", "bundle", "--output", "benchmark", "--quick", "--scenario", "folder")
    for name, dataset in (("raters", rated(folder)), ("dimensions", with_dimensions(folder))):
        pipeline(folder, name, {**measure, **MODEL, "dataset": dataset, "output": ["$$ROOT_DIR$$", name]})
    alike = {**MODEL["dataset"], "split": {"allow_leaks": ["audio"]}}  # type: ignore[dict-item]  # synthetic voices
    across = {"protocol": "cross_corpus", "corpora": corpora(folder), "folds": 2, "dataset": alike}
    pipeline(folder, "across", {"type": "evaluate", **MODEL, **across, "output": ["$$ROOT_DIR$$", "across"]})
    return folder


def rated(folder: Path) -> dict[str, Any]:
    """The recordings as three raters see them, of whom one now and then disagrees."""
    files = sorted((folder / "data").rglob("*.wav"))
    labels = sorted({file.parent.name for file in files})
    lines = ["file,emotion,rater,speaker"]
    for number, file in enumerate(files):
        own, other = file.parent.name, labels[number % len(labels)]
        given = {"ann": own, "bob": own, "cy": other if number % 3 == 0 else own}
        speaker = file.stem.split("_")[1]
        lines += [f"{file.relative_to(folder)},{label},{rater},{speaker}" for rater, label in given.items()]
    (folder / "ratings.csv").write_text("\n".join(lines))
    return {"path": "ratings.csv", "targets": {"emotion": {"raters": "rater"}}}


def with_dimensions(folder: Path) -> dict[str, Any]:
    """Another corpus, of arousal and valence."""
    make_affect_corpus(folder / "affect", **SIZE)
    scale = {"dimensions": ["arousal", "valence"], "range": [0, 10], "scale": [0, 1]}
    return {"path": "affect", "targets": {"affect": scale}}


def corpora(folder: Path) -> list[str]:
    """Three corpora, one of which has a long name."""
    names = ["data", "calls_of_the_help_line_in_2024", "radio"]
    for seed, name in enumerate(names[1:], start=1):
        make_demo_corpus(folder / name, seed, **SIZE)
    return names
