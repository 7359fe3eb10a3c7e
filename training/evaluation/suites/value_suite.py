"""Suites for a bundle that answers dimensions: accuracy, and robustness by how far values move. Without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotions.audio.windows import FloatArray
from emotions.errors import DataError
from emotions.files.atomic import write_bytes
from emotions.files.json_text import write_json
from emotions.predictor import Predictor
from emotions.runtime.cores import available_cores
from training.config.dataset import DatasetConfig
from training.config.evaluate import Suite
from training.config.targets import DimensionsTarget
from training.data.clips import ClipTable, read_clips
from training.data.progress import watched
from training.data.split.units import units_of
from training.data.waveforms.usable import decode_usable
from training.data.waveforms.waveform_cache import WaveformCache
from training.evaluation.perturbations import (
    MAX_CCC_LOSS,
    MAX_VALUE_CHANGE,
    MIN_UNCHANGED,
    Corruption,
    corruptions,
    judged_values,
)
from training.evaluation.suites.head import predictions, suite_head
from training.evaluation.suites.value_page import print_value_suite, value_page
from training.metrics.dimensions import score_values

_SEED = 0
_LIMITS = {"min_unchanged": MIN_UNCHANGED, "max_value_change": MAX_VALUE_CHANGE, "max_ccc_loss": MAX_CCC_LOSS}


@dataclass(frozen=True)
class _Subject:
    """A bundle with the clips that have a value of its first target.

    Attributes:
        truth: (clips, dimensions) float32 on the bundle's range and in its order, NaN where a value is missing.
    """

    predictor: Predictor
    target: str
    table: ClipTable
    waveforms: list[FloatArray]
    truth: FloatArray

    @property
    def names(self) -> list[str]:
        return self.predictor.manifest.targets[self.target]

    @property
    def range(self) -> tuple[float, float]:
        return self.predictor.manifest.ranges[self.target]

    def values(self, waveforms: Iterable[FloatArray]) -> FloatArray:
        """(clips, dimensions) float32."""
        found = predictions(self.predictor, waveforms)
        return np.array([[*each.values[self.target].values()] for each in found], np.float32)

    def ccc(self, values: FloatArray) -> float:
        """Mean CCC over the dimensions."""
        return float(score_values(self.truth, values, self.names)["ccc"])


def run_value_suite(predictor: Predictor, dataset: DatasetConfig, root: Path, suite: Suite, output: Path) -> bool:
    """Measure a bundle on a dataset, and write ``report.json`` and ``report.html``; whether every test was passed.

    Args:
        predictor: the bundle, which answers dimensions alone.
        dataset: the recordings; without targets those of the bundle, on the scale that it was trained on.
        root: folder that a relative path starts from.
        suite: ``accuracy`` or ``robustness``.
        output: folder of the report.

    Raises:
        DataError: the dataset cannot be used, its dimensions are others than the bundle's, or the suite is fairness.
    """
    if suite == "fairness":
        raise DataError(
            f"{predictor.bundle.path}: answers dimensions alone, and fairness compares how often labels are right; the "
            "report of an evaluation by folds has the figures of each group"
        )
    subject = _subject(predictor, _with_targets(dataset, predictor), root)
    before = subject.values(subject.waveforms)
    tests: list[dict[str, Any]] = []
    if suite == "robustness":
        changes = corruptions(subject.waveforms)
        tests += watched(map(_judge(subject, before), changes), len(changes), "Corrupting")
    head = suite_head(predictor, subject.table, subject.target, suite, _LIMITS)
    passed = all(test["passed"] for test in tests)
    report = {**head, "overall": _overall(subject, before), "tests": tests, "passed": passed}
    write_json(output / "report.json", report)
    write_bytes(output / "report.html", value_page(report).encode())
    print_value_suite(report, output / "report.html")
    return passed


def _with_targets(dataset: DatasetConfig, predictor: Predictor) -> DatasetConfig:
    """The dataset with the bundle's dimensions where it names none."""
    if dataset.targets is not None:
        return dataset
    manifest = predictor.manifest
    trained = manifest.dataset.split.get("dimensions", {}) if manifest.dataset is not None else {}
    targets = {
        target: DimensionsTarget(
            dimensions=manifest.targets[target],
            range=bounds,
            scale=tuple(trained[target]["scale"]) if target in trained else None,
        )
        for target, bounds in manifest.ranges.items()
    }
    return dataset.model_copy(update={"targets": targets})


def _subject(predictor: Predictor, dataset: DatasetConfig, root: Path) -> _Subject:
    cache, target = WaveformCache(), next(iter(predictor.manifest.ranges))
    every = read_clips(dataset, root)
    table, facts = decode_usable(every, dataset, available_cores())
    about, names = table.dimensions.get(target), predictor.manifest.targets[target]
    if about is None or {*about.dimensions} != {*names}:
        there = ", ".join(f"{name} ({', '.join(each.dimensions)})" for name, each in table.dimensions.items())
        raise DataError(
            f"{table.root}: has the dimensions {there or 'of no target'}, the bundle answers {target} "
            f"({', '.join(names)}): name these columns in dataset.targets"
        )
    clips = [index for index, clip in enumerate(table.clips) if target in clip.values]
    columns = [about.dimensions.index(name) for name in names]
    values = np.array([[table.clips[clip].values[target][column] for column in columns] for clip in clips])
    (low, high), (least, most) = about.range, predictor.manifest.ranges[target]
    truth = (least + (values - low) * (most - least) / (high - low)).astype(np.float32)
    waveforms = [np.array(cache.load(facts[index], table.clips[index])) for index in clips]
    return _Subject(predictor, target, table.select(clips), waveforms, truth)


def _judge(subject: _Subject, before: FloatArray) -> Callable[[Corruption], dict[str, Any]]:
    low, high = subject.range

    def judge(test: Corruption) -> dict[str, Any]:
        random = np.random.default_rng(_SEED)
        changed = (np.ascontiguousarray(test.change(wave, random), np.float32) for wave in subject.waveforms)
        return judged_values(test, before, subject.values(changed), high - low, subject.ccc)

    return judge


def _overall(subject: _Subject, values: FloatArray) -> dict[str, Any]:
    units, unit = units_of(subject.table)
    found = score_values(subject.truth, values, subject.names, units)
    return {**found, "range": [*subject.range], "speakers": len(np.unique(units)), "interval_over": unit}
