"""One fold with one seed: train, predict the validation and test clips, and remove the checkpoints."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from emotions.audio.windows import FloatArray
from emotions.files.atomic import remove_left_over
from emotions.pipeline.runner import Context
from training.config.train import TrainStep
from training.corpus import Corpus, cut_corpus
from training.data.clips import ClipTable
from training.data.split.splits import Split
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.dataset import WindowDataset
from training.evaluation.protocols.altered_answers import altered_answers
from training.features.teacher.teacher import Teacher
from training.loop.job import Job
from training.loop.out_of_fold import train_fold
from training.models.base import Classifier

_UNFINISHED = ".part"


@dataclass(frozen=True)
class Shared:
    """What all folds have in common. Picklable.

    Attributes:
        steps: training settings of each candidate; often one.
        teacher: what all folds learn from beside the labels.
        splits: one per fold, followed by those of the inner folds that the candidates are compared on.
    """

    steps: tuple[TrainStep, ...]
    context: Context
    table: ClipTable
    facts: tuple[ClipInfo, ...]
    splits: tuple[Split, ...]
    folder: Path
    teacher: Teacher | None = None


@dataclass(frozen=True)
class Task:
    """A candidate on one fold or inner fold with one seed; ``key`` hashes all that determines its predictions.

    Attributes:
        altered: whether it answers altered recordings of its test clips, too.
    """

    fold: int
    candidate: int
    seed: int
    key: str
    altered: bool = False

    def file(self, folder: Path) -> Path:
        """File of its predictions."""
        return folder / f"{self.key}.npz"


def done_in(shared: Shared) -> list[Path]:
    """Files of the predictions that are there already."""
    return [*shared.folder.glob("*.npz")]


def remove_unfinished(shared: Shared) -> None:
    """Remove what killed processes left of folds: each begins anew."""
    remove_left_over(shared.folder)
    for folder in shared.folder.glob(f"*{_UNFINISHED}"):
        shutil.rmtree(folder, ignore_errors=True)


def run_fold(shared: Shared, task: Task) -> None:
    """Train a fold and write its predictions. Raises EmotionsError as ``training.loop.fit.fit`` does.

    Args:
        shared: what the folds have in common.
        task: the fold.
    """
    context = replace(shared.context, seed=task.seed, quiet=True)
    step, split = shared.steps[task.candidate], shared.splits[task.fold]
    corpus = cut_corpus(step, shared.table, shared.facts, split, teacher=shared.teacher)
    job = Job(step, context, corpus, shared.folder / f"{task.key}{_UNFINISHED}", None)
    train_fold(job, task.fold, partial(_altered, task, corpus)).write(task.file(shared.folder))


def _altered(task: Task, corpus: Corpus, model: Classifier) -> dict[str, FloatArray]:
    if not task.altered or not isinstance(corpus.test, WindowDataset):
        return {}
    return altered_answers(model, corpus.test)
