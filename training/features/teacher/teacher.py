"""The bundle that a model learns from: what identifies it, what it answers, and what it was trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from emotions.bundle.bundle import Bundle, read_bundle
from emotions.bundle.manifest import Manifest, Sha256
from emotions.errors import BundleError, DataError, plain
from emotions.pipeline.runner import Context
from training.config.teacher import TeacherConfig, path_of
from training.config.train import ModelStep
from training.data.clips import ClipTable
from training.data.data_faults import some
from training.data.label_matching import match_labels
from training.data.unlabelled import NOTHING, Unlabelled, find_unlabelled, read_unlabelled

EXTRA = "teacher"
"""Key of a run folder's index, and of ``extra`` in a manifest, that says what taught a model."""


class UnlabelledSummary(BaseModel):
    """The recordings that the teacher alone answered."""

    clips: int = Field(ge=0)
    hours: float = Field(ge=0)
    fingerprint: Sha256


class TeacherSummary(BaseModel):
    """What a run folder and a manifest say of a teacher, without names of recordings.

    Attributes:
        bundle: its id.
        digest: of all that its answers depend on.
        trained_on: fingerprint of the dataset that it was trained on; None where its bundle does not tell.
        saw_held_out: whether it has learnt from clips that validate or test; None where that is not known.
    """

    model_config = ConfigDict(extra="forbid")

    bundle: str
    digest: Sha256
    weight: float = Field(gt=0, le=1)
    temperature: float = Field(gt=0)
    unlabelled: UnlabelledSummary | None = None
    trained_on: str | None = None
    saw_held_out: bool | None = None


@dataclass(frozen=True)
class Teacher:
    """A bundle that a model learns from. Picklable.

    Attributes:
        config: its weight in the loss, and the temperature.
        path: the bundle's folder; its files were checked.
        name: the bundle's id.
        manifest: the bundle's.
        unlabelled: the recordings that it alone answers.
        saw_held_out: as that of ``TeacherSummary``.
    """

    config: TeacherConfig
    path: Path
    name: str
    manifest: Manifest
    unlabelled: Unlabelled = NOTHING
    saw_held_out: bool | None = None

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of all that its answers depend on: the fp32 graph, labels, window and pooling."""
        return digest_of(self.manifest)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides on the weights of a model that it teaches, as JSON."""
        settings = {"digest": self.digest, "weight": self.config.weight, "temperature": self.config.temperature}
        return {**settings, **({"unlabelled": self.unlabelled.fingerprint} if len(self.unlabelled) else {})}

    def apart_from(self, judging: Iterable[int]) -> Teacher:
        """The same without the unlabelled recordings that share something with labelled clips, told by their index."""
        return replace(self, unlabelled=self.unlabelled.apart_from(judging))

    def summary(self) -> dict[str, Any]:
        """``TeacherSummary`` as JSON."""
        dataset, unlabelled = self.manifest.dataset, self.unlabelled
        return TeacherSummary(
            bundle=self.name,
            digest=self.digest,
            weight=self.config.weight,
            temperature=self.config.temperature,
            unlabelled=UnlabelledSummary(**unlabelled.summary()) if len(unlabelled) else None,
            trained_on=None if dataset is None else dataset.fingerprint,
            saw_held_out=self.saw_held_out,
        ).model_dump(mode="json")

    def columns(self, targets: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
        """Where its answer has each label of a dataset: target -> (labels,) index among the teacher's.

        Labels are matched by their meaning (``label_matching``), one by one.

        Args:
            targets: name -> labels of the dataset.

        Raises:
            DataError: it lacks a target, or its labels are others.
        """
        return {target: self._columns(target, list(labels)) for target, labels in targets.items()}

    def _columns(self, target: str, labels: list[str]) -> list[int]:
        where, own = f"teacher.bundle: {self.path}", self.manifest.labels.get(target)
        if own is None:
            there = ", ".join(map(plain, self.manifest.labels)) or "no labels"
            raise DataError(f"{where}: answers {there}, not {plain(target)!r}: name the targets in dataset.targets")
        try:
            meaning = match_labels(own, labels)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        found = [own.index(meaning[label]) for label in labels]
        others = [label for number, label in enumerate(own) if number not in found]
        if others or len(set(found)) < len(found):
            told = f"also answers {some(map(repr, others))}" if others else "has one label for several"
            raise DataError(f"{where}: {told}: a teacher needs the {plain(target)} labels of the dataset, no others")
        return found


def digest_of(manifest: Manifest) -> str:
    """Hex SHA-256 of all that a bundle's answers depend on."""
    window = manifest.window.model_dump(mode="json")
    content = [manifest.variants["fp32"].sha256, list(manifest.targets.items()), window, manifest.pooling]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def read_teacher(step: ModelStep, context: Context, table: ClipTable) -> Teacher | None:
    """Open the bundle that teaches a step, and read the recordings that it alone answers; None where none does.

    Args:
        step: names both.
        context: root and workers.
        table: the labelled clips.

    Raises:
        BundleError: the bundle is missing, altered or broken.
        DataError: its targets or labels are others than the dataset's, or the recordings cannot be used.
    """
    teacher = _opened(step, context.root, table)
    if teacher is None:
        return None
    unlabelled = read_unlabelled(step.dataset, context.root, context.workers)
    return replace(teacher, unlabelled=unlabelled)


def look_at_teacher(step: ModelStep, root: Path, table: ClipTable) -> None:
    """Raise what ``read_teacher`` would, as far as that can be told without decoding a recording.

    Args:
        step: names the teacher and its recordings.
        root: folder that relative paths start from.
        table: the labelled clips.
    """
    if _opened(step, root, table) is not None:
        find_unlabelled(step.dataset, root)


def _opened(step: ModelStep, root: Path, table: ClipTable) -> Teacher | None:
    if step.teacher is None:
        return None
    try:
        bundle: Bundle = read_bundle(path_of(step.teacher.bundle, root))
    except BundleError as error:
        raise BundleError(f"teacher.bundle: {error}") from error
    teacher = Teacher(step.teacher, bundle.path, bundle.id, bundle.manifest)
    if not table.targets:
        raise DataError(
            "teacher: teaches labels alone, and the dataset has none: remove it, or name a target of labels"
        )
    teacher.columns({target: table.labels(target) for target in table.targets})
    return teacher
