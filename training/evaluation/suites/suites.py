"""Suites that measure a bundle on a dataset: accuracy, robustness, fairness. Without torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from emotions.errors import DataError
from emotions.files.atomic import write_bytes
from emotions.files.json_text import write_json
from emotions.predictor import Predictor
from emotions.runtime.cores import available_cores
from emotions.runtime.prediction import Prediction, WindowPrediction
from training.config.dataset import DatasetConfig
from training.config.evaluate import Suite
from training.data.clip import Clip
from training.data.clips import ClipTable, read_clips
from training.data.formats.entry import SPLIT_NAMES
from training.data.label_matching import match_labels
from training.data.progress import watched
from training.data.split.units import units_of
from training.data.waveforms.usable import decode_usable
from training.data.waveforms.waveform_cache import WaveformCache
from training.evaluation.perturbations import MAX_UAR_LOSS, MIN_UNCHANGED, Corruption, corruptions, judged
from training.evaluation.protocols.groups import group_columns
from training.evaluation.report.summary import Measured, summarise
from training.evaluation.suites.fairness import MAX_UAR_GAP, fairness_test
from training.evaluation.suites.head import predictions, suite_head
from training.evaluation.suites.suite_report import print_suite, suite_page
from training.evaluation.suites.value_suite import run_value_suite
from training.metrics.calibration import brier, ece, ece_noise, nll
from training.metrics.classification import score
from training.metrics.over_time import over_time
from training.metrics.surest_errors import sounds_of, surest_errors

_SEED = 0


@dataclass(frozen=True)
class Subject:
    """A bundle with the clips that are labelled for a target: 16 kHz, and class indices of the bundle's labels."""

    predictor: Predictor
    target: str
    table: ClipTable
    waveforms: Sequence[FloatArray]
    truth: IntArray

    @property
    def labels(self) -> list[str]:
        """The bundle's labels of the target, in output order."""
        return self.predictor.manifest.targets[self.target]

    def predict(self, waveforms: Iterable[FloatArray]) -> FloatArray:
        """Probabilities, (clips, classes) float32, with windows, batches and pooling as in the service."""
        return self.shares(predictions(self.predictor, waveforms))

    def shares(self, found: Iterable[Prediction | WindowPrediction]) -> FloatArray:
        """Probabilities of the target, (predictions, classes) float32, of clips or of windows."""
        return np.array([[*each.probabilities[self.target].values()] for each in found], np.float32)

    def steps(self, clip: int, prediction: Prediction) -> list[list[float]]:
        """What the bundle made of a clip over time, as ``over_time`` has it."""
        spans = np.array([[each.start, each.end] for each in prediction.windows])
        return over_time(spans[:, 0], spans[:, 1], self.shares(prediction.windows), self.table.clips[clip].start or 0)


def run_suite(
    predictor: Predictor, dataset: DatasetConfig, root: Path, suite: Suite, output: Path, *, names: bool = False
) -> bool:
    """Measure a bundle on a dataset, and write ``report.json`` and ``report.html``; whether every test was passed.

    Args:
        predictor: the bundle.
        dataset: the recordings.
        root: folder that a relative path starts from.
        suite: ``accuracy``, ``robustness`` or ``fairness``.
        output: folder of the report.
        names: name the recordings that are most wrong and most sure.

    Raises:
        DataError: the dataset cannot be used, its labels are others than the bundle's, or it has no column to group by.
    """
    if not predictor.manifest.labels:
        return run_value_suite(predictor, dataset, root, suite, output)
    subject = subject_of(predictor, dataset, root)
    answers = predictions(predictor, subject.waveforms)
    before = subject.shares(answers)
    tests: list[dict[str, Any]] = []
    if suite == "robustness":
        changes = corruptions(subject.waveforms)
        tests += watched((_corrupted(subject, before, each) for each in changes), len(changes), "Corrupting")
    elif suite == "fairness":
        tests = _fairness(subject, before)
    limits = {"min_unchanged": MIN_UNCHANGED, "max_uar_loss": MAX_UAR_LOSS, "max_uar_gap": MAX_UAR_GAP}
    report = {
        **suite_head(predictor, subject.table, subject.target, suite, limits),
        "overall": _overall(subject, before),
        "tests": tests,
    }
    report["passed"] = all(test["passed"] for test in tests)
    table, every = subject.table, np.arange(len(subject.table))
    errors = surest_errors(
        table,
        every,
        subject.truth,
        before,
        subject.labels,
        names=names,
        steps_of=lambda clip: subject.steps(clip, answers[clip]),
    )
    report["overall"]["surest_errors"] = errors
    write_json(output / "report.json", report)
    write_bytes(output / "report.html", suite_page(report, sounds_of(table, errors, output)).encode())
    print_suite(report, output / "report.html")
    return bool(report["passed"])


def subject_of(predictor: Predictor, dataset: DatasetConfig, root: Path, part: str | None = None) -> Subject:
    """A bundle with the clips that it is measured on. Raises as ``run_suite``.

    Args:
        predictor: the bundle.
        dataset: the recordings.
        root: folder that a relative path starts from.
        part: of their predefined split: ``train``, ``val`` or ``test``; None for all clips.
    """
    cache = WaveformCache()
    every = read_clips(dataset, root)
    table, facts = decode_usable(every, dataset, available_cores())
    shared = [target for target in predictor.manifest.labels if target in table.targets]
    if not shared:
        raise DataError(
            f"{table.root}: is labelled for {', '.join(table.targets)}, the bundle answers "
            f"{', '.join(predictor.manifest.labels)}: name the column in dataset.targets, or rename it"
        )
    target = shared[0]
    clips = [at for at, clip in enumerate(table.clips) if target in clip.labels and part in (None, _part_of(clip))]
    if not clips:
        raise DataError(f"{table.root}: has no clip of the part {part!r} with a label of {target}")
    known = table.select(clips)
    labels = predictor.manifest.targets[target]
    meaning = match_labels(labels, known.labels(target))
    truth = np.array([labels.index(meaning[clip.labels[target]]) for clip in known.clips], np.int64)
    waveforms = [np.array(cache.load(facts[index], table.clips[index])) for index in clips]
    return Subject(predictor, target, known, waveforms, truth)


def _part_of(clip: Clip) -> str:
    return SPLIT_NAMES.get((clip.split or "").lower(), "")


def _overall(subject: Subject, probabilities: FloatArray) -> dict[str, Any]:
    units, unit = units_of(subject.table)
    measured = Measured(subject.labels, subject.truth, probabilities[None], units, unit)
    found = summarise(measured, group_columns(subject.table, []))
    scores = {"ece": ece(probabilities, subject.truth), "ece_noise": ece_noise(probabilities)}
    nats = float(nll(probabilities, subject.truth).mean())
    return {**found, **scores, "nll": nats, "brier": brier(probabilities, subject.truth)}


def _corrupted(subject: Subject, before: FloatArray, test: Corruption) -> dict[str, Any]:
    random = np.random.default_rng(_SEED)
    after = subject.predict(np.ascontiguousarray(test.change(wave, random), np.float32) for wave in subject.waveforms)
    return judged(
        test,
        before.argmax(axis=1),
        after.argmax(axis=1),
        lambda answers: float(score(subject.truth, answers, subject.labels)["uar"]),
    )


def _fairness(subject: Subject, before: FloatArray) -> list[dict[str, Any]]:
    columns = group_columns(subject.table, [])
    if not columns:
        raise DataError(f"{subject.table.root}: has no column to compare groups by, such as sex, age or device")
    units, unit = units_of(subject.table)
    measured = Measured(subject.labels, subject.truth, before[None], units, unit)
    return [fairness_test(name, measured, values) for name, values in columns.items()]
