"""The data of one run: clips that are read, decoded, split and cut into windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from emotions.audio.windows import WindowSpec
from emotions.errors import DataError
from emotions.pipeline.runner import Context
from training.config.dataset import DatasetConfig
from training.config.train import FixedStep, ModelSpec, TrainStep, model_spec
from training.data.checks.findings import log_findings
from training.data.checks.leakage import Leaks, audit
from training.data.clips import ClipTable, read_clips
from training.data.split.splits import PARTS, Split, split_clips
from training.data.unlabelled import NOTHING, Unlabelled
from training.data.waveforms.altered import copy_of
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.dataset import NO_LABEL, WindowDataset
from training.data.waveforms.usable import decode_usable
from training.data.waveforms.waveform_cache import WaveformCache
from training.features.feature_dataset import ClipDataset
from training.features.teacher.answers import Answers
from training.features.teacher.audit import judged
from training.features.teacher.teacher import Teacher, read_teacher
from training.metrics.agreement import agreement


@dataclass(frozen=True)
class Corpus:
    """The data of one run.

    Attributes:
        table: all usable clips.
        facts: properties of each clip.
        spec: the model, with the targets of the data.
        train: windows of the training part and of its altered copies, or their features.
        val, test: the same of these parts, or None where they are empty.
        leaks: what the parts share, where it was checked.
        teacher: what is learnt from beside the labels; its unlabelled clips follow those of the training part.
        answers: its answers to the training windows, once they are computed.
    """

    table: ClipTable
    facts: tuple[ClipInfo, ...]
    split: Split
    spec: ModelSpec
    train: ClipDataset
    val: ClipDataset | None
    test: ClipDataset | None
    leaks: Leaks | None = None
    teacher: Teacher | None = None
    answers: Answers | None = None

    def summary(self) -> dict[str, Any]:
        """Summary of the data as JSON, without names of files and speakers."""
        parts = {part: getattr(self.split, part) for part in PARTS}
        return {
            "fingerprint": self.table.fingerprint,
            "clips": len(self.table.clips),
            "hours": self._hours(range(len(self.facts))),
            "license": self.table.license,
            "split": {
                "by": self.split.by,
                "sha256": self.split.sha256,
                **{part: self._part_summary(clips) for part, clips in parts.items()},
                **({"leaks": self.leaks.summary()} if self.leaks else {}),
                **({"dimensions": self._dimensions()} if self.table.dimensions else {}),
                **(
                    {"raters": {name: agreement(self.table, name) for name in soft}}
                    if (soft := self.table.soft)
                    else {}
                ),
            },
        }

    def _dimensions(self) -> dict[str, Any]:
        """The scale of the columns of each target of dimensions, and the range that it was mapped to."""
        return {
            target: {"scale": [*about.columns_scale], "range": [*about.range]}
            for target, about in self.table.dimensions.items()
        }

    def _part_summary(self, clips: Sequence[int]) -> dict[str, Any]:
        chosen = self.table.select(clips)
        counts = {target: chosen.counts(target) for target in self.spec.labels}
        return {"clips": len(clips), "hours": self._hours(clips), "labels": counts}

    def _hours(self, clips: Sequence[int]) -> float:
        return round(sum(self.facts[clip].duration_sec for clip in clips) / 3600, 4)


def read_corpus(step: TrainStep, context: Context, *, whole: bool = False, leaks: Leaks | None = None) -> Corpus:
    """Read the dataset of a step, decode what is not cached yet, split it.

    Args:
        step: names the dataset.
        context: root, seed and workers.
        whole: train on the validation part too.
        leaks: what an audit of the same split has found already; None to search for it.

    Raises:
        DataError: the dataset has faults, or its parts share what they must not.
        BundleError: the teacher cannot be used.
    """
    table, facts = read_usable(step.dataset, context)
    split = split_clips(table, step.dataset.split, context.seed)
    teacher = judged(read_teacher(step, context, table), table, facts, [split], step.dataset.split)
    if leaks is None:
        leaks = audit(table, facts, [split], step.dataset, WaveformCache())
        leaks.raise_for(str(table.root))
        leaks.warn_of_voices()
    return replace(cut_corpus(step, table, facts, split, whole=whole, teacher=teacher), leaks=leaks)


def read_usable(dataset: DatasetConfig, context: Context) -> tuple[ClipTable, list[ClipInfo]]:
    """Read a dataset, decode what is not cached yet: the usable clips, and the properties of each.

    Args:
        dataset: the ``dataset`` block.
        context: root and workers.
    """
    table = read_clips(dataset, context.root)
    left, facts = decode_usable(table, dataset, context.workers)
    log_findings(left, facts)
    return left, facts


def cut_corpus(
    step: FixedStep,
    table: ClipTable,
    facts: Sequence[ClipInfo],
    split: Split,
    *,
    whole: bool = False,
    teacher: Teacher | None = None,
) -> Corpus:
    """Make the data of a run from clips that are read and split.

    Args:
        step: names the model.
        table: usable clips.
        facts: properties of each.
        split: the clips of each part; those in none are left out.
        whole: train on the validation part too.
        teacher: what is learnt from beside the labels.
    """
    cache = WaveformCache()
    teacher = teacher and teacher.apart_from((*split.val, *split.test))
    dimensions = {target: about.dimensions for target, about in table.dimensions.items()}
    targets = {target: list(table.labels(target)) for target in table.targets} | dimensions
    spec = model_spec(step, targets, {target: about.range for target, about in table.dimensions.items()})
    window = WindowSpec(spec.window_samples, spec.window_samples)

    def windows(clips: Sequence[int], copies: int = 0, more: Unlabelled = NOTHING) -> WindowDataset:
        chosen = [*(table.clips[clip] for clip in clips), *more.clips]
        known = [*(facts[clip] for clip in clips), *more.facts]
        changed = [copy_of(each, number, changes) for number in range(copies) for each in known]
        return WindowDataset(chosen * (1 + copies), [*known, *changed], cache, window, spec.targets, spec.ranges)

    changes, copies = step.learn_params.augmentation.copy_changes, step.learn_params.augmentation.copies
    unlabelled = teacher.unlabelled if teacher else NOTHING
    train = windows((*split.train, *split.val) if whole else split.train, copies, unlabelled)
    val, test = (windows(part) if part else None for part in (split.val, split.test))
    for part, dataset in (("training", train), ("validation", val)):
        for target in spec.targets:
            if dataset is not None and (dataset.classes(target) == NO_LABEL).all():
                raise DataError(f"the {part} part has no clip that is labelled for {target!r}; label more clips")
    return Corpus(table, tuple(facts), split, spec, train, val, test, teacher=teacher)
