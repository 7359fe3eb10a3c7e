"""What corrections changed: two bundles on the same test clips, ``report.json`` and ``report.html``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import emotions
from emotions.audio.windows import FloatArray, IntArray
from emotions.errors import ConfigError
from emotions.files.atomic import write_bytes
from emotions.files.html.report import Picture, Report, Section, Table, html
from emotions.files.html.svg_plots import Range, ranges
from emotions.files.json_text import write_json
from emotions.predictor import Predictor
from training.config.dataset import DatasetConfig
from training.data.split.units import units_of
from training.evaluation.suites.suites import Subject, subject_of
from training.metrics.calibration import ece
from training.metrics.classification import confusions
from training.metrics.intervals import difference, intervals


def changes(
    before: Predictor, after: Predictor, dataset: DatasetConfig, root: Path, part: str | None
) -> dict[str, Any]:
    """Measure two bundles on the same clips.

    Args:
        before: the bundle from before the corrections.
        after: the one that was trained with them.
        dataset: the recordings, labelled.
        root: folder that a relative path starts from.
        part: of their predefined split, or None for all.

    Raises:
        DataError: there are no such clips.
        ConfigError: the bundles have other labels.
    """
    old, new = (subject_of(each, dataset, root, part) for each in (before, after))
    if (old.target, sorted(old.labels)) != (new.target, sorted(new.labels)):
        raise ConfigError(f"the bundles answer other labels: {', '.join(old.labels)}; {', '.join(new.labels)}")
    order = [new.labels.index(label) for label in old.labels]
    answers = [old.predict(old.waveforms), new.predict(old.waveforms)[:, order]]
    units, unit = units_of(old.table)
    speakers = np.unique(units, return_inverse=True)[1]
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "toolkit_version": emotions.__version__,
        "target": old.target,
        "labels": old.labels,
        "part": part or "all",
        "clips": len(old.truth),
        "unit": unit,
        "units": int(speakers.max()) + 1,
        "before": {"bundle": before.bundle.id, **_measured(old, answers[0], speakers)},
        "after": {"bundle": after.bundle.id, **_measured(old, answers[1], speakers)},
        "uar_difference": _difference(old, answers, speakers),
        "changed": _changed(old.truth, *(each.argmax(axis=1) for each in answers)),
    }


def _counts(subject: Subject, answers: FloatArray, speakers: IntArray) -> Any:
    return confusions(subject.truth, answers.argmax(axis=1)[None], len(subject.labels), speakers)


def _measured(subject: Subject, answers: FloatArray, speakers: IntArray) -> dict[str, Any]:
    """Each figure with its interval over speakers, and the recall of each class."""
    counts = _counts(subject, answers, speakers)
    total = counts.sum(axis=(0, 1))
    recall = np.diag(total) / np.maximum(total.sum(axis=1), 1)
    known = intervals(counts)
    correct = answers.argmax(axis=1) == subject.truth
    points = {"uar": float(recall[total.sum(axis=1) > 0].mean()), "wa": float(correct.mean())}
    return {
        **{name: value for figure, value in points.items() for name, value in _with(figure, value, known[figure])},
        "recall": {label: float(value) for label, value in zip(subject.labels, recall, strict=True)},
        "recall_ci": {label: known[f"recall.{at}"] for at, label in enumerate(subject.labels)},
        "confidence": float(answers.max(axis=1).mean()),
        "ece": ece(answers, subject.truth),
    }


def _with(figure: str, value: float, bounds: Any) -> list[tuple[str, Any]]:
    return [(figure, value), (f"{figure}_ci", bounds)]


def _difference(subject: Subject, answers: list[FloatArray], speakers: IntArray) -> dict[str, Any]:
    """How much more UAR the second has, with the interval of that: both on the same speakers."""
    old, new = (_counts(subject, each, speakers) for each in answers)
    _, more, bounds = difference(new, old)
    return {"value": more, "ci": bounds}


def _changed(truth: IntArray, old: IntArray, new: IntArray) -> dict[str, int]:
    """Clips whose answer is another now: mended, broken, or wrong as before."""
    other = old != new
    return {
        "answers": int(other.sum()),
        "mended": int((other & (new == truth)).sum()),
        "broken": int((other & (old == truth)).sum()),
    }


def write_changes(report: Mapping[str, Any], output: Path) -> None:
    """Write ``report.json`` and ``report.html`` into a folder; files of an earlier report are replaced."""
    write_json(output / "report.json", report)
    write_bytes(output / "report.html", _page(report).encode())


def conclusion(report: Mapping[str, Any]) -> str:
    """What the corrections changed, in a sentence."""
    more, bounds = report["uar_difference"]["value"], report["uar_difference"]["ci"]
    told = f"UAR {report['before']['uar']:.3f} before, {report['after']['uar']:.3f} after: {more:+.3f}"
    if bounds is None:
        return f"{told}; too few {report['unit']}s for an interval."
    low, high = bounds
    verdict = "better" if low > 0 else "worse" if high < 0 else "no difference is shown"
    return f"{told} [{low:+.3f}, {high:+.3f}]: {verdict}."


def _page(report: Mapping[str, Any]) -> str:
    both = [(name, report[name]) for name in ("before", "after")]
    plot = ranges(
        "UAR on the same test clips",
        "UAR",
        [
            Range(name, found["uar"], None if found["uar_ci"] is None else tuple(found["uar_ci"]))
            for name, found in both
        ],
    )
    changed, units = report["changed"], f"{report['unit']}s"
    return html(
        Report(
            "Corrections",
            report["after"]["bundle"],
            [conclusion(report)],
            pictures=[Section("", [Picture(plot)])],
            figures=[Section("", [_figures(report), _recalls(report)])],
            method=[
                f"Both bundles answered the same {report['clips']} clips of {report['units']} {units} (part: "
                f"{report['part']}). In brackets stand 95 % intervals over {units}; that of the difference is of the "
                "same ones for both, and so narrower than those of the two figures suggest.",
                f"{changed['answers']} answers are others: {changed['mended']} mended, {changed['broken']} broken.",
            ],
            facts={name: found["bundle"] for name, found in both} | {"date": report["created"]},
        )
    )


def _figures(report: Mapping[str, Any]) -> Table:
    rows = [
        (title, *(_told(report[name][figure], report[name].get(f"{figure}_ci")) for name in ("before", "after")))
        for figure, title in (("uar", "UAR"), ("wa", "WA"), ("confidence", "mean confidence"), ("ece", "ECE"))
    ]
    return Table("Figures", ("figure", "before", "after"), rows)


def _recalls(report: Mapping[str, Any]) -> Table:
    rows = [
        (
            label,
            *(_told(report[name]["recall"][label], report[name]["recall_ci"][label]) for name in ("before", "after")),
        )
        for label in report["labels"]
    ]
    return Table("Recall of each class", ("label", "before", "after"), rows)


def _told(value: float, bounds: Any) -> str:
    return f"{value:.3f}" if bounds is None else f"{value:.3f} [{bounds[0]:.3f}, {bounds[1]:.3f}]"
